"""Detection mAP on arrays: against a row-by-row implementation, and what must hold of any input."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.evaluation.straightforward import average_precision

from tsp.errors import TspError
from tsp.evaluation import detection
from tsp.evaluation.detection import evaluate, scores_json
from tsp.evaluation.io import GroundTruth, ScoredSegments
from tsp.segments import tiou

TIOUS = (0.3, 0.5, 0.75, 1.0)
times = st.integers(0, 8).map(float)
segments = st.tuples(times, times)
instances = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), segments), max_size=12).map(
    lambda more: [(0, 0, (1.0, 3.0)), (2, 1, (4.0, 8.0)), *more]
)
scores = st.integers(0, 5).map(lambda n: n / 5)
rows = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 1), segments, scores), max_size=25)


def ground_truth(found):
    return GroundTruth(
        videos=["a", "b", "c"],
        classes=["x", "y"][: 1 + max(k for _, k, _ in found)],
        video=[v for v, *_ in found],
        label=[k for _, k, _ in found],
        segments=[s for *_, s in found],
    )


def predictions(found):
    return ScoredSegments(
        video=[r[0] for r in found],
        label=[r[1] for r in found],
        segments=np.reshape([r[2] for r in found], (-1, 2)),
        score=[r[3] for r in found],
    )


def take(found, order):
    return replace(found, **{name: getattr(found, name)[order] for name in ("video", "label", "segments", "score")})


@settings(max_examples=60)
@given(instances, rows, st.booleans())
def test_equals_the_row_by_row_protocol(truth, found, strict):
    ap = evaluate(ground_truth(truth), predictions(found), TIOUS, strict_compat=strict).ap
    for k in range(2):
        mine = [(v, s) for v, label, s in truth if label == k]
        theirs = [(v, s, score) for v, label, s, score in found if label == k]
        for t, threshold in enumerate(TIOUS):
            assert ap[t, k] == pytest.approx(average_precision(mine, theirs, threshold, strict), abs=1e-12)


def shuffled(found, random, key):
    """A permutation that keeps the order of rows with the same key."""
    order = list(range(len(found)))
    random.shuffle(order)
    kept = {}
    for row in sorted(order):
        kept.setdefault(key(found[row]), []).append(row)
    return [kept[key(found[row])].pop(0) for row in order]


@settings(max_examples=80)
@given(instances, rows, st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_rows_matters_only_to_ties(truth, found, random, strict):
    """Of predictions: ties of a class; of instances: those of one class and video, which may overlap alike."""
    before = evaluate(ground_truth(truth), predictions(found), TIOUS, strict_compat=strict)
    order = shuffled(found, random, lambda row: (row[1], row[3]))
    other = [truth[n] for n in shuffled(truth, random, lambda row: row[:2])]
    after = evaluate(ground_truth(other), take(predictions(found), order), TIOUS, strict_compat=strict)
    np.testing.assert_array_equal(before.ap, after.ap)
    assert before.tie_share == after.tie_share


@settings(max_examples=60)
@given(instances)
def test_perfect_predictions_score_1(truth):
    truth = [(v, 0, (min(s), max(s) + 1)) for v, _, s in truth]
    perfect = predictions([(v, k, s, 0.5) for v, k, s in truth])
    assert (evaluate(ground_truth(truth), perfect, TIOUS).ap == 1).all()


@settings(max_examples=100)
@given(instances, rows, st.sampled_from(TIOUS), st.data())
def test_losing_a_hit_loses_at_most_one_and_then_never_raises_ap(truth, found, threshold, data):
    one_class = ground_truth([(v, 0, s) for v, _, s in truth])
    scored = predictions([(v, 0, s, score) for v, _, s, score in found])
    thresholds = np.asarray([threshold])

    def hits(some):
        ((ranked, matched),) = detection.match(one_class, some, thresholds)
        return set(ranked[matched[0] >= 0].tolist())

    if not hits(scored):
        return
    lost = data.draw(st.sampled_from(sorted(hits(scored))))
    rest = take(scored, [n for n in range(len(found)) if n != lost])
    before, after = (evaluate(one_class, some, thresholds).ap[0, 0] for some in (scored, rest))
    fewer = len(hits(scored)) - len(hits(rest))
    assert fewer in (0, 1)
    assert fewer == 0 or after <= before + 1e-12


def test_a_duplicate_inherits_the_instance_of_a_lost_hit():
    """The case in which AP rises."""
    truth = ground_truth([(0, 0, (0.0, 9.0)), (0, 0, (10.0, 19.0))])
    found = predictions([(0, 0, (0.0, 9.0), 0.9), (0, 0, (0.0, 9.0), 0.8), (0, 0, (10.0, 19.0), 0.7)])
    assert evaluate(truth, found, [0.5]).ap[0, 0] == pytest.approx(5 / 6)
    assert evaluate(truth, take(found, [1, 2]), [0.5]).ap[0, 0] == 1


def test_the_overlap_is_that_of_the_library():
    generator = np.random.default_rng(0)
    ours, theirs = (np.sort(generator.uniform(0, 50, (n, 2))) for n in (30, 20))
    zeros = np.zeros(50, dtype=int)
    p, g, overlap = detection.overlapping((zeros[:30], ours), (zeros[:20], theirs), nan_hits=False)
    expected = tiou(ours, theirs)
    assert len(p) == (expected > 0).sum()
    np.testing.assert_array_equal(overlap, expected[p, g])


def test_a_displaced_prediction_takes_its_next_choice():
    """Rank 2 holds instance 1 until rank 1, sent away from instance 0, takes it."""
    prediction, instance = np.asarray([0, 1, 1, 2, 2]), np.asarray([0, 0, 1, 1, 2])
    taken = detection._taken(prediction, instance, 3)
    assert sorted(zip(prediction[taken].tolist(), instance[taken].tolist(), strict=True)) == [(0, 0), (1, 1), (2, 2)]
    assert sorted(prediction[detection._taken(prediction[:4], instance[:4], 3)].tolist()) == [0, 1]


def test_tie_share_counts_within_a_class():
    found = predictions([(0, 0, (0, 1), 0.5), (0, 0, (0, 1), 0.5), (0, 1, (0, 1), 0.5), (0, 1, (0, 1), 0.4)])
    truth = ground_truth([(0, 0, (0, 1)), (0, 1, (0, 1))])
    assert evaluate(truth, found).tie_share == 0.5


def test_no_predictions_score_0():
    result = evaluate(ground_truth([(0, 0, (0, 1)), (0, 1, (0, 1))]), predictions([]))
    assert (result.average_map, result.tie_share) == (0, 0)


def test_scores_json():
    truth, found = [(0, 0, (0.0, 10.0)), (1, 1, (0.0, 10.0))], [(0, 0, (0.0, 8.5), 0.5)]
    scores = scores_json(evaluate(ground_truth(truth), predictions(found)))
    assert list(scores["mAP"])[7:] == ["0.85", "0.90", "0.95"]
    assert (scores["mAP"]["0.85"], scores["mAP"]["0.90"]) == (0.5, 0)
    assert scores["average_mAP"] == pytest.approx(0.4)
    assert scores["per_class"]["x"]["instances"] == 1
    assert scores["per_class"]["x"]["AP"]["0.50"] == 1
    assert scores["counts"]["predictions"] == 1


@pytest.mark.parametrize("tious", [[], [0.5, 0.5], [0.6, 0.5], [0, 0.5], [0.5, 1.1], [0.5, 0.501], [np.nan]])
def test_bad_thresholds_are_refused(tious):
    with pytest.raises(TspError, match="tIoU thresholds"):
        evaluate(ground_truth([(0, 0, (0, 1))]), predictions([]), tious)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"score": [np.nan]}, "one finite score"),
        ({"score": []}, "0 scores for 1 segments"),
        ({"segments": [[0, np.inf]]}, "not finite"),
        ({"video": [-2]}, "predictions: video"),
        ({"label": [0, 1]}, "2 numbers for 1 segments"),
    ],
)
def test_bad_prediction_arrays_are_refused(change, text):
    with pytest.raises(TspError, match=text):
        replace(predictions([(0, 0, (0, 1), 0.5)]), **change)


def test_a_label_outside_the_class_list_is_refused():
    with pytest.raises(TspError, match="label 7"):
        evaluate(ground_truth([(0, 0, (0, 1))]), predictions([(0, 7, (0, 1), 0.5)]))


def test_an_empty_ground_truth_is_refused():
    with pytest.raises(TspError, match="no instance"):
        GroundTruth(videos=["a"], classes=[], video=[], label=[], segments=[])


def test_a_class_without_instance_is_refused():
    """Its AP would be 0/0."""
    with pytest.raises(TspError, match="class 'y' has no instance"):
        GroundTruth(videos=["a"], classes=["x", "y"], video=[0], label=[0], segments=[[0, 1]])
