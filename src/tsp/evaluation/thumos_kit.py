"""Detection AP as the evaluation kit of the THUMOS14 challenge computes it.

The literature on THUMOS14 reports the ActivityNet-style AP instead (`tsp.evaluation.detection`); the two differ by
about a point and are never mixed.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tsp.evaluation.detection import THUMOS14_TIOUS, DetectionResult, result_of
from tsp.evaluation.io import Floats, GroundTruth, Ints, ScoredSegments
from tsp.evaluation.protocol import check_tious, tied
from tsp.evaluation.thumos14 import AMBIGUOUS
from tsp.segments import tiou
from tsp.types import Video

Formula = Literal["mean", "eleven"]
RECALLS = np.arange(11) / 10
MISSED, HIT, IGNORED = range(3)


def ambiguous_intervals(videos: Sequence[Video], truth: GroundTruth) -> dict[int, Floats]:
    """Intervals in seconds that the annotations leave open, by number of the video.

    Args:
        videos: annotated videos: segments with the label `Ambiguous`, or `ambiguous_frames` with a `frame_rate`.
        truth: numbers of the videos.
    """
    numbers = {name: number for number, name in enumerate(truth.videos)}
    found = {}
    for video in videos:
        intervals = [(s.start_s, s.end_s) for s in video.segments if s.label == AMBIGUOUS]
        rate = video.extra.get("frame_rate")
        if rate:
            intervals += [(a / rate, b / rate) for a, b in video.extra.get("ambiguous_frames", [])]
        if intervals and video.name in numbers:
            found[numbers[video.name]] = np.asarray(intervals, dtype=np.float64)
    return found


def evaluate(
    truth: GroundTruth,
    predictions: ScoredSegments,
    tious: Sequence[float] = THUMOS14_TIOUS,
    *,
    ambiguous: Mapping[int, Floats] | None = None,
    formula: Formula = "mean",
) -> DetectionResult:
    """Score arrays.

    Each instance of a class and video, in the order of the annotation, takes the free detection of the largest tIoU,
    if that is above the threshold. Detections left over are false positives, except those that overlap an ambiguous
    interval, which do not count. All are ranked by score; of equal scores the earlier row comes first.

    Args:
        truth: the instances.
        predictions: the scored segments.
        tious: thresholds, ascending, in (0, 1].
        ambiguous: intervals by number of the video.
        formula: `mean`, of the updated kit: sum of the precisions at the hits / instances; `eleven`, of the early
            one: mean of the best precision at the recalls 0, 0.1 ... 1.

    Paper: THUMOS challenge 2014, temporal detection; evaluation.md 6.3.
    """
    thresholds = check_tious(tious)
    ap = np.zeros((len(thresholds), len(truth.classes)))
    n_tied = 0
    for number in range(len(truth.classes)):
        rows = np.flatnonzero(predictions.label == number)
        rows = rows[np.argsort(-predictions.score[rows], kind="stable")]
        n_tied += int(tied(predictions.score[rows]).sum())
        mine = np.flatnonzero(truth.label == number)
        for t, threshold in enumerate(thresholds):
            kinds = _kinds(truth, predictions, (mine, rows), ambiguous or {}, float(threshold))
            ap[t, number] = average_precision(kinds[kinds != IGNORED] == HIT, len(mine), formula)
    options = {"protocol": "thumos-kit", "formula": formula}
    return result_of(truth, predictions, thresholds, ap, tied_scores=n_tied, options=options)


def _kinds(
    truth: GroundTruth,
    predictions: ScoredSegments,
    chosen: tuple[Ints, Ints],
    ambiguous: Mapping[int, Floats],
    threshold: float,
) -> Ints:
    """What becomes of the ranked predictions of a class: `MISSED`, `HIT` or `IGNORED`."""
    mine, rows = chosen
    kinds = np.full(len(rows), MISSED)
    for video in np.unique(predictions.video[rows]).tolist():
        here = np.flatnonzero(predictions.video[rows] == video)
        segments = predictions.segments[rows[here]]
        free = np.ones(len(here), dtype=bool)
        for instance in mine[truth.video[mine] == video]:
            overlap = np.where(free, tiou(segments, truth.segments[instance][None])[:, 0], -1.0)
            best = int(overlap.argmax())
            if overlap[best] > threshold:
                free[best] = False
        kinds[here[~free]] = HIT
        for start, end in ambiguous.get(video, ()):
            touching = free & (np.minimum(segments[:, 1], end) > np.maximum(segments[:, 0], start))
            kinds[here[touching]] = IGNORED
    return kinds


def average_precision(hits: NDArray[np.bool_], n_instances: int, formula: Formula = "mean") -> float:
    """AP of ranked hits `[M]`, see `evaluate`."""
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    if formula == "mean":
        return float(precision[hits].sum() / n_instances)
    recall = found / n_instances
    return float(np.mean([precision[recall >= level].max(initial=0.0) for level in RECALLS]))
