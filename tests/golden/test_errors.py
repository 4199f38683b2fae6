"""The worked example of the error analyses (evaluation.md 7.6) and the bucket sizes of the official test sets (7.1)."""

from fractions import Fraction as F

import numpy as np
import pytest

from tsp.datasets.thumos14 import read
from tsp.evaluation.errors import BUCKETS, analyse, bucket_of, characterise
from tsp.evaluation.io import GroundTruth, ScoredSegments, instances_of, with_durations
from tsp.io.files import read_json, read_text
from tsp.io.tables import read_segments
from tsp.types import Segment, Video

ROWS = [
    ("v1", "A", 0, 10, 0.95),  # true positive
    ("v1", "A", 1, 10, 0.90),  # double detection
    ("v1", "A", 41, 60, 0.85),  # wrong label
    ("v1", "A", 24, 36, 0.80),  # localisation
    ("v1", "A", 52, 75, 0.70),  # confusion
    ("v2", "A", 30, 40, 0.60),  # background
    ("v2", "A", 5, 14, 0.50),  # true positive
    ("v1", "B", 40, 60, 0.90),  # true positive
]
GAIN = (F(4, 3) / (F(4, 3) + 4) - F(4, 3) / (F(4, 3) + 5)) / 6  # one false positive less before the second hit of A


def analysed(tious):
    truth = GroundTruth(
        videos=["v1", "v2"],
        classes=["A", "B"],
        video=[0, 0, 0, 1],
        label=[0, 0, 1, 0],
        segments=[[0, 10], [20, 30], [40, 60], [5, 15]],
        durations=np.asarray([100.0, 20.0]),
    )
    found = ScoredSegments(
        video=[["v1", "v2"].index(r[0]) for r in ROWS],
        label=["AB".index(r[1]) for r in ROWS],
        segments=[r[2:4] for r in ROWS],
        score=[r[4] for r in ROWS],
    )
    return analyse(characterise(truth, BUCKETS["activitynet"]), found, tious)


def test_one_threshold():
    result = analysed([0.5])
    x = 4 / 3
    ap = (1 + x / (x + 5)) / 3
    assert result["average_mAP_N"] == pytest.approx((ap + 1) / 2, abs=1e-12)
    assert result["average_mAP_N"] == pytest.approx(0.7018, abs=5e-5)
    assert result["average_mAP"] == pytest.approx(5 / 7, abs=1e-12)
    assert list(result["false_positives"]["totals"]["0.50"].values()) == [3, 1, 1, 1, 1, 1]
    assert list(result["false_positives"]["impact"].values()) == pytest.approx([GAIN] * 5, abs=1e-12)
    assert pytest.approx(0.0066, abs=5e-5) == GAIN
    coverage = result["sensitivity"]["coverage"]["buckets"]
    found = {size: entry["average_mAP_N"] for size, entry in coverage.items()}
    assert found["XS"] == pytest.approx(0.75, abs=1e-12)
    assert found["M"] == pytest.approx(2 / 7, abs=1e-12)
    assert {size for size, value in found.items() if value is None} == set(found) - {"XS", "M"}
    missed = result["false_negatives"]["coverage"]
    assert (missed["XS"]["missed"], missed["M"]["missed"]) == (pytest.approx(1 / 3, abs=1e-12), 0)


def test_two_thresholds():
    result = analysed([0.5, 0.95])
    assert result["average_mAP_N"] == pytest.approx(13 / 19, abs=1e-12)
    assert list(result["false_positives"]["totals"]["0.95"].values()) == [2, 0, 1, 3, 1, 1]
    assert list(result["false_positives"]["impact"].values()) == pytest.approx([GAIN / 2] * 5, abs=1e-12)
    assert result["sensitivity"]["coverage"]["buckets"]["M"]["average_mAP_N"] == pytest.approx(1 / 7, abs=1e-12)


def sizes(truth, dataset):
    found = characterise(truth, BUCKETS[dataset])
    return {name: np.bincount(numbers).tolist() for name, numbers in found.buckets.items()}, found.removed


def test_buckets_of_thumos14(shared):
    """The 3,358 instances of DETAD's test file, by the released durations.

    By DETAD's own durations coverage has 2,384 and 657: one instance, of 2.6 s in 130 s, lies on the edge of 2 %.
    """
    videos = read([shared / "gtad" / "test_Annotation.csv"])
    truth = instances_of(videos, "test", where="test_Annotation.csv", blocked={"video_test_0001292"})
    truth = with_durations(truth, shared / "tsp" / "thumos14" / "thumos14_test_metadata.csv")
    found, removed = sizes(truth, "thumos14")
    assert found == {
        "coverage": [2383, 658, 166, 61, 90],
        "length": [1626, 851, 730, 114, 37],
        "instances": [15, 2203, 727, 413],
    }
    assert set(removed.values()) == {0}


def test_buckets_of_activitynet(shared):
    """The 7,293 instances that BMN shares, by its durations: 18 reach beyond their video, 3 are empty."""
    entries = read_json(shared / "bmn" / "anet_anno_action.json.gz")
    info = (line.split(",") for line in read_text(shared / "bmn" / "video_info_new.csv.gz").splitlines()[1:])
    subsets = {line[0]: line[5] for line in info}
    videos = [
        Video(
            name=name,
            filename=f"{name}.mp4",
            subset=subsets[name],
            duration_s=entry["duration_second"],
            segments=tuple(
                Segment(start_s=a["segment"][0], end_s=a["segment"][1], label=a["label"]) for a in entry["annotations"]
            ),
        )
        for name, entry in entries.items()
    ]
    truth = instances_of(videos, "validation", where="anet_anno_action.json")
    found, removed = sizes(truth, "activitynet")
    assert len(truth.label) == 7293
    # Counted before the empty ones are removed, XS of coverage has 3,011.
    assert found["coverage"] == [3008, 906, 693, 868, 1797]
    assert removed == {"instances_longer_than_video": 18, "instances_not_positive": 3}


def test_buckets_of_all_of_activitynet(shared):
    """The 7,654 instances of the released clip index; it has no durations, so that coverage stays unlooked at."""
    table = read_segments(shared / "tsp" / "activitynet" / "activitynet_v1-3_valid_tsp_groundtruth.csv.gz")
    table = table[table["temporal-region-label"] == "Action"]
    length = (table["t-end"] - table["t-start"]).to_numpy()
    together = table.groupby("video-name")["t-start"].transform("size").to_numpy()
    edges = BUCKETS["activitynet"]
    assert np.bincount(bucket_of(length, edges["length"])).tolist() == [4103, 1238, 1285, 717, 311]
    assert np.bincount(bucket_of(together, edges["instances"])).tolist() == [3720, 2561, 928, 445]
