"""The challenge's AP, against values by hand and against its definition written out."""

import numpy as np
import pytest

from tsp.evaluation import detection, thumos_kit
from tsp.evaluation.io import GroundTruth, ScoredSegments
from tsp.types import Segment, Video


def truth(*rows, videos=("a", "b")):
    """Rows: video, label, start, end."""
    classes = list(dict.fromkeys(row[1] for row in rows))
    return GroundTruth(
        videos=list(videos),
        classes=classes,
        video=[row[0] for row in rows],
        label=[classes.index(row[1]) for row in rows],
        segments=[row[2:] for row in rows],
    )


def found(*rows):
    """Rows of one class: video, start, end, score."""
    return ScoredSegments(
        video=[row[0] for row in rows],
        label=[0] * len(rows),
        segments=[row[1:3] for row in rows],
        score=[row[3] for row in rows],
    )


def test_both_formulas_by_hand():
    hits = np.array([True, False, True, False])
    # Precisions at the hits 1 and 2/3, three instances.
    assert thumos_kit.average_precision(hits, 3) == pytest.approx((1 + 2 / 3) / 3)
    # Recall 1/3 covers 0 to 0.3 with precision 1, recall 2/3 0.4 to 0.6 with 2/3; nothing reaches 0.7.
    assert thumos_kit.average_precision(hits, 3, "eleven") == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)
    assert thumos_kit.average_precision(np.zeros(0, dtype=bool), 3, "eleven") == 0.0


def test_an_overlap_must_exceed_the_threshold():
    (instance, prediction) = truth((0, "run", 0, 10)), found((0, 0, 5, 0.9))
    assert thumos_kit.evaluate(instance, prediction, [0.5]).average_map == 0.0
    assert detection.evaluate(instance, prediction, [0.5]).average_map == 1.0
    assert thumos_kit.evaluate(instance, prediction, [0.4]).average_map == 1.0


def test_instances_choose_in_the_order_of_the_annotation():
    """The first instance takes the detection that overlaps it most, although its score is the lowest."""
    instances = truth((0, "run", 0, 10), (0, "run", 4, 14))
    predictions = found((0, 4, 14, 0.9), (0, 0, 10, 0.1), (0, 1, 11, 0.5))
    # Ranked: hit of the second instance, the left-over one, hit of the first.
    assert thumos_kit.evaluate(instances, predictions, [0.3]).average_map == pytest.approx((1 + 2 / 3) / 2)


def test_what_overlaps_an_ambiguous_interval_does_not_count():
    instances, predictions = truth((0, "run", 0, 10)), found((0, 20, 30, 0.9), (0, 0, 10, 0.8), (1, 20, 30, 0.7))
    assert thumos_kit.evaluate(instances, predictions, [0.5]).average_map == 0.5
    open_ = {0: np.array([[29.0, 40.0]])}
    assert thumos_kit.evaluate(instances, predictions, [0.5], ambiguous=open_).average_map == 1.0
    # A hit inside an ambiguous interval stays one; touching is no overlap.
    assert thumos_kit.evaluate(instances, predictions, [0.5], ambiguous={0: np.array([[0.0, 20.0]])}).average_map == 0.5


def test_ambiguous_intervals_of_both_files():
    def video(name, *segments, **extra):
        parts = tuple(Segment(start_s=a, end_s=b, label=label) for a, b, label in segments)
        return Video(name=name, filename="x", subset="test", duration_s=None, segments=parts, extra=extra)

    videos = [
        video("b", (1.0, 2.0, "Ambiguous"), (0.0, 9.0, "run")),
        video("a", (0.0, 9.0, "run"), ambiguous_frames=[[30, 60]], frame_rate=30.0),
        video("other", (1.0, 2.0, "Ambiguous")),
    ]
    made = thumos_kit.ambiguous_intervals(videos, truth((0, "run", 0, 9)))
    assert {k: v.tolist() for k, v in made.items()} == {1: [[1.0, 2.0]], 0: [[1.0, 2.0]]}


def as_defined(instances, predictions, threshold):
    """One class: per video, per instance, the free detection of the largest overlap."""
    kinds = {}
    for video in range(len(instances.videos)):
        mine = [k for k in range(len(predictions.score)) if predictions.video[k] == video]
        mine.sort(key=lambda k: -predictions.score[k])
        free = set(mine)
        for start, end in instances.segments[instances.video == video]:
            best, chosen = threshold, None
            for k in mine:
                a, b = predictions.segments[k]
                inter = max(min(b, end) - max(a, start), 0.0)
                share = inter / ((b - a) + (end - start) - inter)
                if k in free and share > best:
                    best, chosen = share, k
            free.discard(chosen)
        kinds |= {k: k not in free for k in mine}
    ranked = sorted(kinds, key=lambda k: (-predictions.score[k], k))
    hits, total = 0, 0.0
    for place, k in enumerate(ranked, 1):
        hits += kinds[k]
        total += hits / place if kinds[k] else 0.0
    return total / len(instances.label)


@pytest.mark.parametrize("seed", range(20))
def test_random_detections_against_the_definition(seed):
    rng = np.random.default_rng(seed)

    def segments(n):
        start = rng.uniform(0, 50, n)
        return np.stack([start, start + rng.uniform(1, 20, n)], axis=1)

    rows = [(int(rng.integers(3)), "run", *s) for s in segments(12)]
    instances = truth(*rows, videos=("a", "b", "c"))
    predictions = found(*((int(rng.integers(3)), *s, rng.random()) for s in segments(40)))
    tious = [0.1, 0.3, 0.5]
    ours = thumos_kit.evaluate(instances, predictions, tious).mean_ap
    assert ours == pytest.approx([as_defined(instances, predictions, t) for t in tious])
