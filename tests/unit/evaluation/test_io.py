"""Reading ground truth and predictions: odd rows are counted, faults are named."""

import gzip
import json
import logging

import pytest

from tsp.errors import TspError
from tsp.evaluation.detection import detection_map
from tsp.evaluation.io import read_blocked, read_detections, read_ground_truth, read_proposals

A = {"segment": ["0", "10"], "label": "A"}
GOOD = {"segment": [0, 10], "score": 0.5, "label": "A"}


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def ground_truth(path, *annotations, **more):
    database = {"v1": {"subset": "validation", "annotations": list(annotations)}, **more}
    return write(path, {"database": database})


@pytest.fixture
def truth(tmp_path):
    other = {"subset": "training", "annotations": [{"segment": [0, 1], "label": "T"}]}
    empty = {"subset": "validation", "annotations": []}
    return read_ground_truth(ground_truth(tmp_path / "g.json", A, t1=other, v2=empty), "validation")


def test_text_numbers_and_gzip(tmp_path):
    path = tmp_path / "g.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"database": {"v": {"subset": "s", "annotations": [A]}}}).encode()))
    assert read_ground_truth(path, "s").segments.tolist() == [[0, 10]]


def test_only_the_subset_counts(truth):
    assert (list(truth.videos), list(truth.classes)) == (["v1", "v2"], ["A"])
    assert truth.counts["videos_without_instances"] == 1


def test_dedup_drops_near_copies_and_empty_instances_of_one_label(tmp_path):
    rows = [A, {"segment": [0.0009, 9.9995], "label": "A"}, {"segment": [0, 10], "label": "B"}]
    rows += [{"segment": [0.002, 10], "label": "A"}, {"segment": [3, 3], "label": "A"}]
    path = ground_truth(tmp_path / "g.json", *rows)
    assert len(read_ground_truth(path, "validation").label) == 5
    kept = read_ground_truth(path, "validation", dedup=True)
    assert kept.segments.tolist() == [[0, 10], [0, 10], [0.002, 10]]
    assert kept.counts["instances_dropped"] == 2


def test_blocked_videos_leave_both_files(tmp_path):
    second = {"subset": "validation", "annotations": [A]}
    path = ground_truth(tmp_path / "g.json", A, v2=second)
    found = write(tmp_path / "p.json", {"results": {"v1": [GOOD], "v2": [GOOD]}})
    blocked = read_blocked(write(tmp_path / "b.json", ["v2"]))
    result = detection_map(path, found, blocked=blocked)
    assert result.average_map == 1
    assert (result.counts["videos_blocked"], result.counts["predictions_in_blocked_videos"]) == (1, 1)
    assert read_blocked(None) == frozenset()
    with pytest.raises(TspError, match="array of video names"):
        read_blocked(write(tmp_path / "b.json", {"v2": 1}))


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"database": {}}, "no video of subset 'validation'; subsets in the file: none"),
        ({"database": {"v": {"subset": "val", "annotations": [A]}}}, "subsets in the file: val"),
        ({"database": {"v": {"subset": "validation", "annotations": []}}}, "no instance"),
        ({"results": {}}, "no 'database'"),
        ({"database": {"v": {"subset": "validation", "annotations": [{"label": "A"}]}}}, r"database\['v'\]"),
        ('{"database": {"v": {"subset": "validation", "annotations": [{"segment": [0, NaN], "label": "A"}]}}}', "'v'"),
        ("", "the file is empty"),
    ],
)
def test_bad_ground_truth_is_named(tmp_path, document, text):
    path = write(tmp_path / "g.json", document)
    with pytest.raises(TspError, match=text) as error:
        read_ground_truth(path, "validation")
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"segment": [0, 1], "label": "A"}, "score"),
        ({"segment": [0, 1], "score": float("nan"), "label": "A"}, "not finite"),
        ({"segment": [0, 1], "score": "high", "label": "A"}, "high"),
        ({"segment": [0, 1], "score": None, "label": "A"}, "score"),
        ({"segment": [0], "score": 1, "label": "A"}, "segment"),
        ({"segment": [0, 1, 2], "score": 1, "label": "A"}, "segment"),
        ({"score": 1, "label": "A"}, "segment"),
        ({"segment": [0, 1], "score": 1}, "label None"),
        ({"segment": [0, 1], "score": 1, "label": "B"}, "label 'B' is not in the counted ground truth"),
        ({"segment": [0, 1], "score": 1, "label": ["A"]}, "label"),
        ([0, 1, 0.5], "segment"),
    ],
)
def test_a_bad_prediction_is_named(tmp_path, truth, entry, text):
    path = write(tmp_path / "p.json", {"results": {"v1": [GOOD, entry]}})
    with pytest.raises(TspError, match=text) as error:
        read_detections(path, truth)
    assert f"{path}: results['v1'][1]" in str(error.value)


@pytest.mark.parametrize(("text", "message"), [("", "empty"), ("{}", "results"), ("[]", "results"), ("{", "not valid")])
def test_a_bad_predictions_file_is_named(tmp_path, truth, text, message):
    path = write(tmp_path / "p.json", text)
    with pytest.raises(TspError, match=message) as error:
        read_detections(path, truth)
    assert str(path) in str(error.value)


def test_odd_predictions_are_counted(tmp_path, truth, caplog):
    rows = [GOOD, {**GOOD, "label": "B"}, {**GOOD, "segment": [5, 5]}, {**GOOD, "score": "1e-3"}]
    path = write(tmp_path / "p.json", {"results": {"v1": rows, "t1": [GOOD], "x": [GOOD]}})
    with caplog.at_level(logging.WARNING):
        found = read_detections(path, truth, ignore_unknown_labels=True)
    assert found.counts == {
        "predictions": 5,
        "predictions_in_unknown_videos": 2,
        "predictions_with_unknown_label": 1,
        "predictions_in_blocked_videos": 0,
        "predictions_not_positive": 1,
        "videos_without_predictions": 1,
    }
    assert found.score.tolist() == [0.5, 0.5, 0.001, 0.5, 0.5]
    assert "2 predictions are in videos that are not counted" in caplog.text


def test_names_with_a_prefix_are_hinted_at(tmp_path, truth, caplog):
    read_detections(write(tmp_path / "p.json", {"results": {"v_v1": [GOOD]}}), truth)
    assert "names carry no 'v_'" in caplog.text


def test_proposals_need_no_label(tmp_path, truth):
    path = write(tmp_path / "p.json", {"results": {"v1": [{"segment": [0, 1], "score": 1}]}})
    assert read_proposals(path, truth).label.tolist() == [0]


def test_ties_are_warned_of(tmp_path, caplog):
    path = ground_truth(tmp_path / "g.json", A)
    detection_map(path, write(tmp_path / "p.json", {"results": {"v1": [GOOD, GOOD]}}))
    assert "100.0 % of the scores are tied" in caplog.text
    detection_map(path, write(tmp_path / "p.json", {"results": {}}))
    assert "no predictions; every score is 0" in caplog.text
