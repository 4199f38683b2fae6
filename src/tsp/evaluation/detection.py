"""Detection mAP by the ActivityNet protocol."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tsp.evaluation.io import Floats, GroundTruth, Ints, ScoredSegments, read_detections, read_ground_truth
from tsp.evaluation.protocol import (
    ProtocolResult,
    average_precision,
    check_tious,
    ranked_by_class,
    score_submission,
    tied,
    tiou_name,
)

# The official thresholds are np.linspace(0.5, 0.95, 10), whose ninth value lies one step below 0.9.
ACTIVITYNET_TIOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95)
THUMOS14_TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
UNMATCHED = -1
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DetectionResult(ProtocolResult):
    """Scores of a set of predictions; ties are counted within classes.

    Args:
        tious: `T` thresholds.
        classes: `K` labels, those that the counted ground truth has.
        ap: `[T, K]` average precision, 0 to 1.
        instances: `[K]` instances of each class.
        predictions: `[K]` predictions of each class.
    """

    tious: tuple[float, ...]
    classes: tuple[str, ...]
    ap: Floats
    instances: Ints
    predictions: Ints

    @property
    def mean_ap(self) -> Floats:
        """`[T]` mean over the classes."""
        return np.asarray(self.ap.mean(axis=1))

    @property
    def average_map(self) -> float:
        """Mean over the thresholds."""
        return float(self.mean_ap.mean())


def detection_map(
    ground_truth: str | Path,
    predictions: str | Path,
    subset: str = "validation",
    tious: Sequence[float] = ACTIVITYNET_TIOUS,
    *,
    strict_compat: bool = False,
    dedup: bool = False,
    ignore_unknown_labels: bool = False,
    blocked: Collection[str] = (),
) -> DetectionResult:
    """Score a predictions file.

    Args:
        ground_truth: ActivityNet-style JSON.
        predictions: submission JSON.
        subset: the ground truth's own name of the subset.
        tious: thresholds, ascending, in (0, 1].
        strict_compat: see `evaluate`.
        dedup: drop duplicate and empty instances (`tsp.evaluation.io.read_ground_truth`).
        ignore_unknown_labels: skip predictions with unknown labels instead of raising.
        blocked: videos left out of both files.

    Raises:
        TspError: naming file and entry of the first error.
    """
    truth = read_ground_truth(ground_truth, subset, blocked=blocked, dedup=dedup)
    return score_file(
        truth, predictions, tious, strict_compat=strict_compat, ignore_unknown_labels=ignore_unknown_labels
    )


def score_file(
    truth: GroundTruth,
    predictions: str | Path,
    tious: Sequence[float] = ACTIVITYNET_TIOUS,
    *,
    strict_compat: bool = False,
    ignore_unknown_labels: bool = False,
    protocol: Callable[[GroundTruth, ScoredSegments], "DetectionResult"] | None = None,
) -> DetectionResult:
    """Score a predictions file against ground truth that is read already.

    Args and Raises: as `detection_map`; `protocol` scores the arrays instead of `evaluate`.
    """
    result = score_submission(
        truth,
        predictions,
        read=partial(read_detections, ignore_unknown_labels=ignore_unknown_labels),
        evaluate=protocol or partial(evaluate, tious=tious, strict_compat=strict_compat),
    )
    n = result.counts
    log.info("%d videos, %d instances, %d predictions", n["videos"], n["instances"], n["predictions"])
    return replace(result, options=result.options | {"ignore_unknown_labels": ignore_unknown_labels})


def evaluate(
    truth: GroundTruth,
    predictions: ScoredSegments,
    tious: Sequence[float] = ACTIVITYNET_TIOUS,
    *,
    strict_compat: bool = False,
) -> DetectionResult:
    """Score arrays.

    Predictions are ranked by score; of equal scores the later row comes first. In rank order each takes, at each
    threshold independently, the free instance of its class and video with the highest tIoU that reaches the threshold
    (equal tIoU: the later instance).

    Rows may be permuted, as long as those of one class with equal scores, and instances of one class and video, keep
    their order. Removing a hit loses at most one hit. If it does lose one, AP does not rise. Otherwise a former false
    positive takes the instance and AP may rise: it is 5/6 for hit, duplicate, hit, and 1 without the first.

    Args:
        truth: the instances.
        predictions: the scored segments.
        tious: thresholds, ascending, in (0, 1].
        strict_compat: count 0/0 (two empty segments anywhere, or a reversed one of opposite length) as a hit at
            every threshold.

    Paper: section 4 (mAP of ActivityNet and THUMOS14, by their official protocol).
    Differs: official code hits on 0/0 (option `strict_compat`) and leaves the order of equal scores to the sort.
    """
    thresholds = check_tious(tious)
    instances = np.bincount(truth.label, minlength=len(truth.classes))
    ap = np.zeros((len(thresholds), len(instances)))
    n_tied = 0
    for number, (ranked, matched) in enumerate(match(truth, predictions, thresholds, strict_compat=strict_compat)):
        ap[:, number] = average_precision(matched > UNMATCHED, int(instances[number]))
        n_tied += int(tied(predictions.score[ranked]).sum())
    return result_of(truth, predictions, thresholds, ap, tied_scores=n_tied, options={"strict_compat": strict_compat})


def result_of(
    truth: GroundTruth,
    predictions: ScoredSegments,
    thresholds: Floats,
    ap: Floats,
    *,
    tied_scores: int,
    options: dict[str, Any],
) -> DetectionResult:
    """The result of a protocol: its average precisions `[T, K]` with what the files held.

    Args:
        truth, predictions, thresholds: what was scored.
        ap: scores of each threshold and class.
        tied_scores: predictions whose score another one of their class has.
        options: of the protocol.
    """
    classes, n = len(truth.classes), len(predictions.score)
    return DetectionResult(
        tious=tuple(float(t) for t in thresholds),
        classes=tuple(truth.classes),
        ap=ap,
        instances=np.bincount(truth.label, minlength=classes),
        predictions=np.bincount(predictions.label, minlength=classes),
        tie_share=tied_scores / n if n else 0.0,
        counts={"instances": len(truth.label), "predictions": n} | truth.counts | predictions.counts,
        options=truth.options | options,
    )


def match(
    truth: GroundTruth, predictions: ScoredSegments, thresholds: Floats, *, strict_compat: bool = False
) -> Iterator[tuple[Ints, Ints]]:
    """Rank and match, class by class.

    Args: as `evaluate`.

    Yields:
        For each class: `[M]` its predictions in rank order; `[T, M]` the instance that each of them takes, or -1.
    """
    for number, ranked in enumerate(ranked_by_class(predictions, len(truth.classes))):
        mine = np.flatnonzero(truth.label == number)
        predicted = predictions.video[ranked], predictions.segments[ranked]
        pairs = overlapping(predicted, (truth.video[mine], truth.segments[mine]), nan_hits=strict_compat)
        matched = _matches(*pairs, thresholds, (len(ranked), len(mine)))
        yield ranked, np.where(matched > UNMATCHED, mine[matched], UNMATCHED)


def scores_json(result: DetectionResult) -> dict[str, Any]:
    """The result as the content of `scores.json`; thresholds are spelt with two decimals, scores are fractions."""
    names = [tiou_name(t) for t in result.tious]
    per_class = {
        label: {
            "AP": dict(zip(names, result.ap[:, k].tolist(), strict=True)),
            "average_AP": float(result.ap[:, k].mean()),
            "instances": int(result.instances[k]),
            "predictions": int(result.predictions[k]),
        }
        for k, label in enumerate(result.classes)
    }
    return {
        "mAP": dict(zip(names, result.mean_ap.tolist(), strict=True)),
        "average_mAP": result.average_map,
        "tie_share": result.tie_share,
        "options": result.options,
        "counts": result.counts,
        "per_class": per_class,
    }


def overlapping(
    predicted: tuple[Ints, Floats], instances: tuple[Ints, Floats], *, nan_hits: bool
) -> tuple[Ints, Ints, Floats]:
    """Overlapping pairs: prediction (ascending), instance, tIoU; those of one prediction in its order of preference."""
    (video, segments), (truth_video, truth_segments) = predicted, instances
    order = np.argsort(truth_video, kind="stable")
    low = np.searchsorted(truth_video[order], video, side="left")
    count = np.searchsorted(truth_video[order], video, side="right") - low
    prediction = np.repeat(np.arange(len(video)), count)
    within = np.arange(len(prediction)) - np.repeat(np.cumsum(count) - count, count)
    instance = order[np.repeat(low, count) + within]
    (start, end), (first, last) = segments[prediction].T, truth_segments[instance].T
    inter = np.maximum(np.minimum(end, last) - np.maximum(start, first), 0.0)
    union = (last - first) + (end - start) - inter
    overlap = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    if nan_hits:
        overlap[union == 0] = np.inf
    keep = overlap > 0
    prediction, instance, overlap = prediction[keep], instance[keep], overlap[keep]
    order = np.lexsort((-instance, -overlap, prediction))
    return prediction[order], instance[order], overlap[order]


def _matches(prediction: Ints, instance: Ints, overlap: Floats, thresholds: Floats, shape: tuple[int, int]) -> Ints:
    """`[T, M]`: the instance that each prediction takes, or -1."""
    matched = np.full((len(thresholds), shape[0]), UNMATCHED)
    for row, threshold in zip(matched, thresholds, strict=True):
        keep = overlap >= threshold
        prediction, instance, overlap = prediction[keep], instance[keep], overlap[keep]
        pair = _taken(prediction, instance, shape[1])
        row[prediction[pair]] = instance[pair]
    return matched


def _taken(prediction: Ints, instance: Ints, n_instances: int) -> Ints:
    """Pairs that result when predictions choose an instance one by one in rank order.

    Deferred acceptance: all choose at once, and an instance keeps the best-ranked prediction and rejects the others,
    which go to their next choice. All instances rank the predictions alike, so the one stable matching is that of
    choosing one by one.
    """
    free = len(prediction)
    holder = np.full(n_instances, free)  # index of the pair, which ascends with the rank
    last = np.diff(prediction, append=-1) != 0
    choices = np.flatnonzero(np.diff(prediction, prepend=-1))
    while len(choices):
        before = holder.copy()
        np.minimum.at(holder, instance[choices], choices)
        displaced = before[(holder < before) & (before < free)]
        rejected = np.concatenate([choices[holder[instance[choices]] != choices], displaced])
        choices = rejected[~last[rejected]] + 1
    return np.asarray(holder[holder < free])
