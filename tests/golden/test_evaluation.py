"""Worked examples whose scores the official toolkits gave (evaluation.md 3.8 and 4.3), to 1e-12."""

from fractions import Fraction as F

import numpy as np
import pytest

from tsp.evaluation import detection, proposals
from tsp.evaluation.classification import classification_scores
from tsp.evaluation.detection import ACTIVITYNET_TIOUS, detection_map
from tsp.evaluation.io import ScoredSegments, read_ground_truth
from tsp.evaluation.proposals import proposal_recall
from tsp.io.files import read_json, read_text, write_json

TIOUS = (0.5, 0.75, 0.95)
W1 = [("v1", 0, 10), ("v1", 20, 30), ("v2", 5, 15)]
EXACT = [("v1", 0, 10, 0.9), ("v1", 20, 30, 0.8), ("v2", 5, 15, 0.7)]
TWICE = [("v1", 0, 10), ("v1", 0, 10)]
EMPTY = [("v1", 0, 10), ("v1", 3, 3)]
THIRD = F(1, 3)

DETECTION = {
    "W1": (
        W1,
        [("v1", 0, 10, 0.9), ("v1", 1, 9, 0.8), ("v1", 22, 30, 0.7), ("v2", 0, 10, 0.6), ("v2", 6, 16, 0.5)],
        [F(34, 45), F(34, 45), THIRD],
    ),
    "W2": ([("v1", 0, 10), ("v1", 2, 12)], [("v1", 1, 11, 0.9), ("v1", 0, 10, 0.8), ("v1", 0, 9, 0.7)], [1, 1, 0.25]),
    "W3": (
        [("v1", 0, 10, "A"), ("v2", 0, 10, "B")],
        [("v1", 0, 10, 0.9, "A"), ("v2", 0, 10, 0.95, "A")],
        [0.25, 0.25, 0.25],
    ),
    "W4": ([("v1", 0, 10), ("v2", 0, 20)], [("v1", 0, 5, 0.9), ("v2", 0, 15, 0.8)], [1, 0.25, 0]),
    "W5": (
        [("v1", 0, 10), ("v2", 0, 10)],
        [("v1", 50, 60, 0.5), ("v1", 0, 10, 0.5), ("v2", 50, 60, 0.5), ("v2", 0, 10, 0.4)],
        [0.5, 0.5, 0.5],
    ),
    "W6": (W1, EXACT, [1, 1, 1]),
    "W6 without v2": (W1, EXACT[:2], [F(2, 3)] * 3),
    "W6 unknown video": (W1, [("x", 0, 10, 0.99), *EXACT], [0.75] * 3),
    "W6 training video": (W1, [("t1", 0, 10, 0.99), *EXACT], [0.75] * 3),
    "W6 zero length": (W1, [("v1", 4, 4, 0.99), *EXACT], [0.75] * 3),
    "W7": (TWICE, [("v1", 0, 10, 0.9), ("v1", 0, 10, 0.8), ("v1", 0, 10, 0.7)], [1, 1, 1]),
    "W8": (EMPTY, [("v1", 0, 10, 0.9), ("v1", 2, 4, 0.8)], [0.5] * 3),
    "W8 empty prediction": (EMPTY, [("v1", 0, 10, 0.9), ("v1", 3, 3, 0.8)], [0.5] * 3),
    "W8 elsewhere": (EMPTY, [("v1", 0, 10, 0.9), ("v1", 80, 80, 0.8)], [0.5] * 3),
    "W9": (W1, [("v1", 10, 0, 0.95), *EXACT], [0.75] * 3),
    "W9 other length": (W1, [("v1", 9, 0, 0.95), *EXACT], [0.75] * 3),
}
STRICT = {"W8 empty prediction": [1] * 3, "W8 elsewhere": [1] * 3, "W9": [F(11, 12)] * 3}


def ground_truth(path, instances):
    database = {"t1": {"subset": "training", "annotations": [{"segment": [0, 10], "label": "A"}]}}
    for video, start, end, *label in instances:
        entry = database.setdefault(video, {"subset": "validation", "annotations": []})
        entry["annotations"].append({"segment": [start, end], "label": (label or ["A"])[0]})
    write_json(path, {"database": database})
    return path


def submission(path, rows):
    results = {}
    for video, start, end, score, *label in rows:
        entry = {"segment": [start, end], "score": score, "label": (label or ["A"])[0]}
        results.setdefault(video, []).append(entry)
    write_json(path, {"results": results})
    return path


def close(found, expected):
    np.testing.assert_allclose(found, np.asarray(expected, dtype=float), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", DETECTION)
@pytest.mark.parametrize("strict", [False, True])
def test_detection(tmp_path, name, strict):
    instances, rows, expected = DETECTION[name]
    expected = STRICT.get(name, expected) if strict else expected
    paths = ground_truth(tmp_path / "g.json", instances), submission(tmp_path / "p.json", rows)
    result = detection_map(*paths, "validation", TIOUS, strict_compat=strict)
    close(result.mean_ap, expected)
    close(result.average_map, sum(map(F, expected)) / 3)


def test_w1_average(tmp_path):
    paths = ground_truth(tmp_path / "g.json", W1), submission(tmp_path / "p.json", DETECTION["W1"][1])
    assert detection_map(*paths, "validation", TIOUS).average_map == pytest.approx(0.6148, abs=5e-5)


def test_activitynet_thresholds_are_the_official_floats():
    assert tuple(np.linspace(0.5, 0.95, 10).tolist()) == ACTIVITYNET_TIOUS
    assert ACTIVITYNET_TIOUS[8] != 0.9


P1 = [("v1", 0, 10, 0.9), ("v1", 22, 40, 0.8), ("v2", 0, 20, 0.7), ("v2", 5, 14, 0.6)]
PROPOSALS = {
    "P1": (P1, 2, 18.8),
    "P2": ([*P1[:2], ("v1", 50, 60, 0.1), P1[3]], 2, 32 + F(11, 30)),
    "P3": ([("v1", 50, 60, 0.95), *P1[:2], ("v1", 61, 62, 0.1), *P1[2:]], 1, 0),
    "P4": (P1, 100, 92 + F(7, 60)),
    "P5": ([*P1, *[("x", n, n + 1, 0.5) for n in range(4)]], 2, 18 + F(31, 60)),
    "P6": (P1[:2], 2, 40 + F(19, 60)),
}


@pytest.mark.parametrize("name", PROPOSALS)
def test_proposals(tmp_path, name):
    rows, average, auc = PROPOSALS[name]
    truth = ground_truth(tmp_path / "g.json", [("v1", 0, 10), ("v1", 20, 40), ("v2", 5, 15)])
    result = proposal_recall(truth, submission(tmp_path / "p.json", rows), max_proposals=average)
    close(result.auc, auc)
    if name == "P1":
        close(result.average_recall, [0] * 49 + [11 / 30] * 50 + [28 / 30])
    if name == "P4":
        close(result.average_recall, [11 / 30] + [28 / 30] * 99)
        assert proposals.scores_json(result)["AR"]["1"] == pytest.approx(11 / 30)


def test_the_100_counts_are_the_official_ones(tmp_path):
    """With 100 proposals in each video, 28, 56 and 57 are inspected at 29, 57 and 58 percent."""
    truth = ground_truth(tmp_path / "g.json", [("v1", n, n + 1) for n in range(100)])
    found = submission(tmp_path / "p.json", [("v1", n, n + 1, 1 - n / 1000) for n in range(100)])
    recall = proposal_recall(truth, found).average_recall
    assert [round(100 * recall[n - 1]) for n in (28, 29, 30, 57, 58, 59, 100)] == [28, 28, 30, 56, 57, 59, 100]


def test_official_thumos_ground_truth(shared):
    truth = read_ground_truth(shared / "gtad" / "thumos_gt.json", "test")
    assert (len(truth.videos), len(truth.label), len(truth.classes)) == (210, 3311, 20)


def test_official_activitynet_ground_truth(shared, tmp_path):
    """The 4,728 videos that BMN and G-TAD are measured on: 17 exact copies and 3 empty instances."""
    info = (line.split(",") for line in read_text(shared / "bmn" / "video_info_new.csv.gz").splitlines()[1:])
    subsets = {line[0]: line[5] for line in info}
    database = {
        name.removeprefix("v_"): {"subset": subsets[name], "annotations": entry["annotations"]}
        for name, entry in read_json(shared / "bmn" / "anet_anno_action.json.gz").items()
    }
    write_json(tmp_path / "g.json", {"database": database}, indent=None)
    truth = read_ground_truth(tmp_path / "g.json", "validation")
    assert (len(truth.videos), len(truth.label), len(truth.classes)) == (4728, 7293, 200)
    assert (truth.counts["instances_duplicate"], truth.counts["instances_not_positive"]) == (17, 3)
    perfect = ScoredSegments(
        video=truth.video, label=truth.label, segments=truth.segments, score=np.linspace(1, 0.5, 7293)
    )
    missed = np.bincount(truth.label[truth.segments[:, 0] == truth.segments[:, 1]], minlength=200)
    ap = detection.evaluate(truth, perfect).ap
    assert (ap[:, missed == 0] == 1).all()
    assert (ap[:, missed > 0] < 1).all()


def test_classification(tmp_path):
    """Example C1 (evaluation.md 5)."""
    labels = {"v1": "A", "v2": "AB", "v3": "B", "v4": "C"}
    truth = ground_truth(tmp_path / "g.json", [(v, 0, 1, k) for v, row in labels.items() for k in row])
    scored = {"v1": {"A": 0.9, "B": 0.2}, "v2": {"A": 0.6, "B": 0.5}, "v3": {"A": 0.7, "B": 0.3}}
    results = {v: [{"label": k, "score": s} for k, s in row.items()] for v, row in scored.items()}
    write_json(tmp_path / "p.json", {"results": results})
    result = classification_scores(truth, tmp_path / "p.json", ks=(1, 2))
    close(result.ap, [F(5, 6), 1, 0])
    close(result.mean_ap, F(11, 18))
    close([result.hit[1], result.average_hit[1], result.hit[2], result.average_hit[2]], [0.5, 0.375, 0.75, 0.75])
