"""Labels of whole videos: conventions and odd input."""

import json

import pytest

from tsp.errors import TspError
from tsp.evaluation.classification import classification_scores, scores_json


@pytest.fixture
def truth(tmp_path):
    rows = {"v1": ["A", "A"], "v2": ["B"], "v3": []}
    entries = {v: [{"segment": [0, 1], "label": k} for k in labels] for v, labels in rows.items()}
    database = {v: {"subset": "validation", "annotations": e} for v, e in entries.items()}
    (tmp_path / "g.json").write_text(json.dumps({"database": database}))
    return tmp_path / "g.json"


def score(truth, results, document=None, **options):
    path = truth.parent / "p.json"
    path.write_text(document if document is not None else json.dumps({"results": results}))
    return classification_scores(truth, path, **options)


def rows(**labels):
    return [{"label": k, "score": s} for k, s in labels.items()]


def test_a_label_counts_once_in_a_video(truth):
    """v1 has two instances of A but is one positive; the second prediction of it is false."""
    result = score(truth, {"v1": [*rows(A=0.9), *rows(A=0.8)], "v2": rows(A=0.1, B="0.5")}, ks=[1, 2])
    assert result.videos.tolist() == [1, 1]
    assert result.ap.tolist() == [1, 1]
    assert (result.hit, result.average_hit) == ({1: 1, 2: 1}, {1: 1, 2: 1})


def test_videos_without_labels_or_predictions(truth):
    """v3 has no label: what is said of it is false, and it is no video of hit@k; v2 has no prediction."""
    result = score(truth, {"v1": rows(A=0.5), "v3": rows(A=0.9), "unknown": rows(A=0.8)}, ks=[1])
    assert result.ap.tolist() == [pytest.approx(1 / 3), 0]
    assert result.hit == {1: 0.5}
    assert (result.counts["predictions_in_unknown_videos"], result.counts["videos_with_labels"]) == (1, 2)


def test_of_equal_scores_the_later_row_is_first(truth):
    result = score(truth, {"v1": rows(A=0.5, B=0.5)}, ks=[1])
    assert (result.hit[1], result.tie_share) == (0, 1)
    assert score(truth, {"v1": rows(B=0.5, A=0.5)}, ks=[1]).hit[1] == 0.5


def test_the_order_of_videos_does_not_matter(truth):
    found = {"v1": rows(A=0.5, B=0.4), "v2": rows(A=0.7, B=0.2), "unknown": rows(A=0.6)}
    first, second = score(truth, found, ks=[1, 2]), score(truth, dict(reversed(found.items())), ks=[1, 2])
    assert (first.ap.tolist(), first.hit) == (second.ap.tolist(), second.hit)
    assert first.ap.tolist() != [1, 1]


def test_scores_of_all_classes_are_read_too(truth):
    dense = json.dumps({"results": {"v1": [0.9, 0.1, 0.3], "v2": [0.2, 0.8, 0]}, "class": ["A", "B", "other"]})
    result = score(truth, None, dense, ignore_unknown_labels=True)
    assert (result.mean_ap, result.hit[1], result.counts["predictions_with_unknown_label"]) == (1, 1, 2)


def test_scores_json(truth):
    scores = scores_json(score(truth, {"v1": rows(A=0.5), "v2": rows(A=0.4, B=0.5)}))
    assert (scores["mAP"], scores["hit"], scores["per_class"]["B"]) == (1, {"1": 1, "3": 1}, {"AP": 1, "videos": 1})
    assert scores["options"]["subset"] == "validation"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("", "empty"),
        ("[]", "no 'results'"),
        ('{"results": {"v1": {}}}', r"results\['v1'\] is no list"),
        ('{"results": {"v1": [{"label": "A"}]}}', r"results\['v1'\]\[0\]: expected a label and a score"),
        ('{"results": {"v1": [{"label": "A", "score": NaN}]}}', r"results\['v1'\]\[0\]: the score is not finite"),
        ('{"results": {"v1": [{"label": "C", "score": 1}]}}', "label 'C' is not in the counted ground truth"),
        ('{"results": {"v1": ["A"]}}', "expected a label and a score"),
        ('{"results": {"v1": [1]}, "class": ["A", "B"]}', "1 scores; expected one for each label"),
    ],
)
def test_bad_files_are_named(truth, document, text):
    with pytest.raises(TspError, match=text) as error:
        score(truth, None, document)
    assert "p.json" in str(error.value)


def test_a_senseless_k_is_refused(truth):
    with pytest.raises(TspError, match="from 1 on"):
        score(truth, {}, ks=[0])
