"""Error analyses on arrays: against DETAD written down row by row, and its conventions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.evaluation.straightforward import detad
from unit.evaluation.test_detection import predictions

from tsp.errors import TspError
from tsp.evaluation.errors import BUCKETS, KINDS, SIZES, analyse, analyse_files, bucket_of, characterise, top
from tsp.evaluation.io import GroundTruth
from tsp.io.annotations import write_annotations
from tsp.io.predictions import write_predictions
from tsp.types import Segment, Video

TIOUS = (0.3, 0.6, 0.9)
starts = st.tuples(st.integers(0, 7), st.integers(1, 8)).map(lambda t: (float(t[0]), float(t[0] + t[1])))
instances = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), starts), max_size=8).map(
    lambda more: [(0, 0, (1.0, 3.0)), (2, 1, (4.0, 8.0)), *more]
)
rows = st.lists(
    st.tuples(st.integers(-1, 2), st.integers(0, 1), starts, st.integers(0, 5).map(lambda n: n / 5)), max_size=20
)


def ground_truth(found, durations=(20.0, 20.0, 20.0)):
    return GroundTruth(
        videos=["a", "b", "c"],
        classes=["x", "y"],
        video=[v for v, *_ in found],
        label=[k for _, k, _ in found],
        segments=[s for *_, s in found],
        durations=np.asarray(durations),
    )


def analysed(truth, found, tious=TIOUS, **options):
    return analyse(characterise(ground_truth(truth), BUCKETS["activitynet"]), predictions(found), tious, **options)


@settings(max_examples=40)
@given(instances, rows)
def test_equals_the_row_by_row_protocol(truth, found):
    norm, result = len(truth) / 2, analysed(truth, found, joint=False)
    buckets = bucket_of(np.asarray([(e - s) / 20 for *_, (s, e) in truth]), BUCKETS["activitynet"]["coverage"])
    for number, size in enumerate(SIZES):
        mine = np.flatnonzero(buckets == number).tolist()
        slow = [detad(truth, found, t, norm, mine, 0.05) for t in TIOUS]
        assert result["average_mAP_N"] == pytest.approx(np.mean([s[1] for s in slow]), abs=1e-12)
        bucket = result["sensitivity"]["coverage"]["buckets"][size]
        missed = result["false_negatives"]["coverage"][size]
        assert bucket["instances"] == missed["instances"] == len(mine)
        if mine:
            expected = np.mean([[ap for ap in s[3] if ap is not None] for s in slow])
            assert bucket["average_mAP_N"] == pytest.approx(expected, abs=1e-12)
            assert missed["missed"] == pytest.approx(np.mean([len(s[2] & set(mine)) / len(mine) for s in slow]))
        else:
            assert bucket["average_mAP_N"] is missed["missed"] is None


@settings(max_examples=40)
@given(instances, rows)
def test_kinds_equal_the_row_by_row_protocol(truth, found):
    """With at most ten predictions for each instance none is cut off."""
    few = [row for n, row in enumerate(found) if sum(r[1] == row[1] for r in found[:n]) < 10]
    result = analysed(truth, few)["false_positives"]
    assert result["predictions"] == len(few)
    for threshold in TIOUS:
        kinds = list(detad(truth, few, threshold, len(truth) / 2, [])[0].values())
        assert result["totals"][f"{threshold:.2f}"] == {kind: kinds.count(kind) for kind in KINDS}
    filled = [g for g in result["profile"] if g["predictions"]]
    assert sum(g["predictions"] for g in result["profile"]) == len(few)
    assert all(sum(g[kind] for kind in KINDS) == pytest.approx(1) for g in filled)
    assert all(gain >= -1e-12 for gain in result["impact"].values())


def test_buckets_hold_their_right_edge():
    assert bucket_of(np.asarray([0, 0.2, 0.2001, 1]), BUCKETS["activitynet"]["coverage"]).tolist() == [0, 0, 1, 4]
    assert bucket_of(np.asarray([30, 31, 180, 181.0]), BUCKETS["activitynet"]["length"]).tolist() == [0, 1, 3, 4]
    assert bucket_of(np.asarray([1, 2, 40, 41, 80, 81]), BUCKETS["thumos14"]["instances"]).tolist() == [
        0,
        1,
        1,
        2,
        2,
        3,
    ]


def test_instances_that_cannot_be_are_left_out_before_anything_else(caplog):
    truth = ground_truth([(0, 0, (0, 10)), (0, 0, (0, 30)), (1, 1, (5, 5)), (1, 0, (5, 6))])
    found = characterise(truth, BUCKETS["activitynet"])
    assert found.removed == {"instances_longer_than_video": 1, "instances_not_positive": 1}
    assert (found.truth.classes, found.truth.segments.tolist()) == (["x"], [[0, 10], [5, 6]])
    # Videos keep the number of instances that they are annotated with.
    assert found.buckets["instances"].tolist() == [1, 1]
    assert "2 instances are left out" in caplog.text


@pytest.mark.parametrize(
    ("segment", "durations", "text"),
    [
        ((0, 1), [np.nan, 1, 1], "'a' has the duration nan"),
        ((0, 1), [0, 1, 1], "'a' has the duration 0"),
        ((0, 9), [5, 1, 1], "no instance is inside its video"),
    ],
)
def test_unusable_durations_are_refused(segment, durations, text):
    truth = ground_truth([(0, 0, segment), (0, 1, segment)], durations)
    with pytest.raises(TspError, match=text):
        characterise(truth, BUCKETS["activitynet"])


def test_top_keeps_the_earlier_of_equal_scores():
    truth = ground_truth([(0, 0, (0, 1)), (0, 1, (0, 1)), (1, 1, (0, 1))])
    found = predictions([(0, 0, (n, n + 1), 0.5) for n in range(12)] + [(0, 1, (0, 1), 0.1)])
    kept = top(truth, found)
    assert kept.segments[:, 0].tolist() == [*range(10), 0]


def test_joint_dropping_forgives_loose_detections_of_other_instances():
    """A loose detection of the long instance is a false positive for the short one at 0.9, unless dropped jointly."""
    truth = [(0, 0, (0.0, 2.0)), (0, 0, (4.0, 20.0)), (1, 1, (0.0, 2.0))]
    found = [(0, 0, (4.0, 14.0), 0.9), (0, 0, (0.0, 2.0), 0.8)]
    values = [
        analysed(truth, found, (0.3, 0.9), joint=joint)["sensitivity"]["coverage"]["buckets"]["XS"]["average_mAP_N"]
        for joint in (True, False)
    ]
    assert values[0] == 0.5
    assert values[1] < 0.5


def test_matches_of_hardly_any_precision_are_no_finds():
    truth = [(0, 0, (0.0, 2.0)), (1, 1, (0.0, 2.0))]
    noise = [(2, 0, (0.0, 1.0), 0.9)] * 20
    assert analysed(truth, [*noise[:18], (0, 0, (0.0, 2.0), 0.1)])["false_negatives"]["missed"] == 0.5
    assert analysed(truth, [*noise, (0, 0, (0.0, 2.0), 0.1)])["false_negatives"]["missed"] == 1


def test_videos_without_ground_truth_give_background_only():
    found = analysed([(0, 0, (0.0, 2.0)), (1, 1, (0.0, 2.0))], [(2, 0, (0.0, 2.0), 0.9), (-1, 0, (0.0, 2.0), 0.8)])
    assert found["false_positives"]["totals"]["0.30"]["background"] == 2


def test_no_predictions_miss_everything():
    result = analysed([(0, 0, (0.0, 2.0)), (1, 1, (0.0, 2.0))], [])
    assert (result["average_mAP_N"], result["false_negatives"]["missed"]) == (0, 1)
    assert result["false_positives"]["profile"][0]["true positive"] is None
    assert result["sensitivity"]["length"]["max_relative"] is None


@pytest.mark.parametrize("stated", [True, False])
def test_files_with_and_without_durations(tmp_path, caplog, stated):
    """Where the annotations do not say how long the videos are, a metadata table may."""
    actions = (Segment(start_s=0.0, end_s=2.0, label="x"), Segment(start_s=5.0, end_s=15.0, label="x"))
    video = Video(
        name="a", filename="v_a.mp4", subset="validation", duration_s=20.0 if stated else None, segments=actions
    )
    write_annotations(tmp_path / "t.json", [video])
    found = {"a": [{"label": "x", "score": 0.9, "segment": [0.0, 2.0]}]}
    write_predictions(tmp_path / "p.json", found, version="x")
    (tmp_path / "m.csv").write_text("filename,video-duration,fps,video-frames\nv_a.mp4,20.0,30,600\n")
    files = (tmp_path / "t.json", tmp_path / "p.json", "validation", "miniature")
    with_table = analyse_files(*files, metadata=tmp_path / "m.csv")
    missed = with_table["false_negatives"]["length"]
    assert (missed["XS"]["missed"], missed["XL"]["missed"], missed["M"]["missed"]) == (0.0, 1.0, None)
    without = analyse_files(*files)
    assert without == (with_table if stated else None)
    assert ("errors are not analysed" in caplog.text) == (not stated)
