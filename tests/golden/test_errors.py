"""The worked example of the error analyses (evaluation.md 7.6) and the bucket sizes of the official test sets (7.1)."""

import numpy as np
import pytest

from tsp.evaluation.errors import BUCKETS, analyse, characterise
from tsp.evaluation.io import GroundTruth, Predictions

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


def analysed(tious):
    truth = GroundTruth(
        videos=["v1", "v2"],
        classes=["A", "B"],
        video=[0, 0, 0, 1],
        label=[0, 0, 1, 0],
        segments=[[0, 10], [20, 30], [40, 60], [5, 15]],
        durations=np.asarray([100.0, 20.0]),
    )
    found = Predictions(
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
    assert result["average_mAP"] == pytest.approx(0.7143, abs=5e-5)
    assert [round(gain, 4) for gain in result["false_positives"]["impact"].values()] == [0.0066] * 5
    coverage = result["sensitivity"]["coverage"]["buckets"]
    found = {size: entry["average_mAP_N"] for size, entry in coverage.items()}
    assert found["XS"] == pytest.approx(0.75, abs=5e-5)
    assert found["M"] == pytest.approx(0.2857, abs=5e-5)
    assert {size for size, value in found.items() if value is None} == set(found) - {"XS", "M"}
    missed = result["false_negatives"]["coverage"]
    assert (missed["XS"]["missed"], missed["M"]["missed"]) == (pytest.approx(1 / 3), 0)


def test_two_thresholds():
    result = analysed([0.5, 0.95])
    assert result["average_mAP_N"] == pytest.approx(0.6842, abs=5e-5)
    assert list(result["false_positives"]["totals"]["0.95"].values()) == [2, 0, 1, 3, 1, 1]
    assert [round(gain, 4) for gain in result["false_positives"]["impact"].values()] == [0.0033] * 5
    assert result["sensitivity"]["coverage"]["buckets"]["M"]["average_mAP_N"] == pytest.approx(0.1429, abs=5e-5)
