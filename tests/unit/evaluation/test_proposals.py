"""AR@AN on arrays."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsp.errors import TspError
from tsp.evaluation.io import GroundTruth, ScoredSegments
from tsp.evaluation.proposals import evaluate, scores_json
from tsp.segments import tiou

TIOUS = (0.5, 0.75, 1.0)
times = st.integers(0, 8).map(float)
segments = st.tuples(times, times)


def arrays(truth, found):
    return (
        GroundTruth(
            videos=["a", "b", "c"],
            classes=["x"],
            video=[v for v, _ in truth],
            label=[0] * len(truth),
            segments=[s for _, s in truth],
        ),
        ScoredSegments(
            video=[v for v, _ in found],
            label=[0] * len(found),
            segments=np.reshape([s for _, s in found], (-1, 2)),
            score=1 - np.arange(len(found)) / 1000,
        ),
    )


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 2), segments), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(-1, 2), segments), max_size=30),
    st.sampled_from([1.0, 3.0, 100.0]),
)
def test_equals_the_hundredfold_loop(truth, found, average):
    result = evaluate(*arrays(truth, found), TIOUS, max_proposals=average)
    videos = sorted({v for v, _ in truth})
    ratio = average * len(videos) / len(found) if found else 0
    kept = {v: [s for w, s in found if w == v] for v in videos}
    kept = {v: rows[: min(int(len(rows) * ratio), len(rows))] for v, rows in kept.items()}
    total = sum(map(len, kept.values()))
    expected = np.zeros((len(TIOUS), 100))
    for j in range(1, 101) if total else ():
        fraction = j / 100.0 * (average * len(videos) / total)
        for v, instance in truth:
            first = kept[v][: min(int(len(kept[v]) * fraction), len(kept[v]))]
            best = max((float(tiou([s], [instance])[0, 0]) for s in first), default=0.0)
            expected[:, j - 1] += [best >= t for t in TIOUS]
    np.testing.assert_allclose(result.recall, expected / len(truth), rtol=0, atol=1e-12)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 2), segments), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(-1, 2), segments), max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_order_of_rows_does_not_matter(truth, found, random):
    """The scores are distinct; of equal ones the later row comes first."""
    instances, proposals = arrays(truth, found)
    order = random.sample(range(len(found)), len(found))
    columns = {name: getattr(proposals, name)[order] for name in ("video", "label", "segments", "score")}
    again = evaluate(arrays(random.sample(truth, len(truth)), [])[0], replace(proposals, **columns), TIOUS)
    before = evaluate(instances, proposals, TIOUS)
    np.testing.assert_array_equal(again.recall, before.recall)
    assert again.auc == before.auc


def test_of_equal_scores_the_later_row_comes_first():
    truth, found = arrays([(0, (0, 5))], [(0, (0, 5)), (0, (6, 8))])
    result = evaluate(truth, replace(found, score=[0.5, 0.5]), max_proposals=1)
    assert (result.recall.max(), result.tie_share) == (0, 1)


def test_a_perfect_file_scores_99_percent_as_the_integral_starts_at_the_first_point():
    result = evaluate(*arrays([(0, (0, 5)), (1, (2, 9))], [(0, (0, 5)), (1, (2, 9))]))
    assert result.auc == pytest.approx(99)
    assert scores_json(result)["AR"] == {"1": 1, "5": 1, "10": 1, "100": 1}


def test_ar_at_n_is_told_only_where_the_curve_ends_at_100():
    scores = scores_json(evaluate(*arrays([(0, (0, 5))], [(0, (0, 5))] * 7), max_proposals=None))
    assert (scores["AR"], scores["max_proposals"]) == ({}, 7)
    assert scores["curve"][-1][0] == pytest.approx(7)


@pytest.mark.parametrize("found", [[], [(2, (0, 5))]])
@pytest.mark.parametrize("average", [None, 100])
def test_nothing_to_look_at_scores_0_with_a_warning(found, average, caplog):
    result = evaluate(*arrays([(0, (0, 5))], found), max_proposals=average)
    assert (result.auc, result.recall.max()) == (0, 0)
    assert "no proposal is left" in caplog.text


def test_a_senseless_number_is_refused():
    with pytest.raises(TspError, match="max_proposals"):
        evaluate(*arrays([(0, (0, 5))], [(0, (0, 5))]), max_proposals=0)
