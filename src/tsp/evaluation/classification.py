"""Untrimmed classification: mAP over classes, and hits among the best labels of a video."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.evaluation.io import (
    UNKNOWN,
    Floats,
    GroundTruth,
    Ints,
    ScoredSegments,
    check_not_empty,
    labels_of,
    numbered,
    read_ground_truth,
)
from tsp.evaluation.protocol import (
    ProtocolResult,
    average_precision,
    ranked_by_class,
    ranked_within,
    score_submission,
    tied,
)
from tsp.io.files import read_json

KS = (1, 3)


@dataclass(frozen=True, kw_only=True)
class ClassificationResult(ProtocolResult):
    """Scores of labels of whole videos; ties are counted within classes and within videos.

    Args:
        classes: `K` labels that the counted ground truth has.
        ap: `[K]` average precision, 0 to 1.
        videos: `[K]` videos with each label.
        hit: k -> share of videos that have a true label among their k best.
        average_hit: k -> mean share of a video's labels found among its k best.
    """

    classes: tuple[str, ...]
    ap: Floats
    videos: Ints
    hit: dict[int, float]
    average_hit: dict[int, float]

    @property
    def mean_ap(self) -> float:
        """Mean over the classes."""
        return float(self.ap.mean())


def classification_scores(
    ground_truth: str | Path,
    predictions: str | Path,
    subset: str = "validation",
    ks: Sequence[int] = KS,
    *,
    ignore_unknown_labels: bool = False,
    blocked: Collection[str] = (),
) -> ClassificationResult:
    """Score a file of labels.

    Args:
        ground_truth: ActivityNet-style JSON.
        predictions: submission with entries `{label, score}`, or `{"results": {video: scores}, "class": labels}`.
        subset: the ground truth's own name of the subset.
        ks: numbers of labels to look at.
        ignore_unknown_labels: skip predictions with unknown labels instead of raising.
        blocked: videos left out of both files.

    Raises:
        TspError: naming file and entry of the first error.
    """
    truth = read_ground_truth(ground_truth, subset, blocked=blocked)
    return score_file(truth, predictions, ks, ignore_unknown_labels=ignore_unknown_labels)


def score_file(
    truth: GroundTruth, predictions: str | Path, ks: Sequence[int] = KS, *, ignore_unknown_labels: bool = False
) -> ClassificationResult:
    """Score a file of labels against ground truth that is read already.

    Args and Raises: as `classification_scores`.
    """
    result = score_submission(
        truth,
        predictions,
        read=partial(read_labels, ignore_unknown_labels=ignore_unknown_labels),
        evaluate=partial(evaluate, ks=ks),
    )
    return replace(result, options=result.options | {"ignore_unknown_labels": ignore_unknown_labels})


def read_labels(path: str | Path, truth: GroundTruth, *, ignore_unknown_labels: bool = False) -> ScoredSegments:
    """Read labels of whole videos; their segments are all empty.

    Args and Raises: as `tsp.evaluation.io.read_detections`.
    """
    check_not_empty(path)
    document = read_json(path)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict):
        raise TspError(f"{path}: no 'results' object; expected an ActivityNet submission")
    classes = document.get("class")
    entries = {
        video: [
            _checked(e, f"{path}: results[{video!r}][{n}]") for n, e in enumerate(_entries(rows, classes, path, video))
        ]
        for video, rows in results.items()
    }
    return numbered(path, entries, truth, labels_of(path, truth, ignore_unknown_labels=ignore_unknown_labels))


def evaluate(truth: GroundTruth, predictions: ScoredSegments, ks: Sequence[int] = KS) -> ClassificationResult:
    """Score arrays. Of equal scores the later row comes first.

    Args:
        truth: the instances; what counts is which labels a video has.
        predictions: the scored labels; segments are ignored.
        ks: numbers of labels to look at.
    """
    if not ks or min(ks) < 1:
        raise TspError(f"k = {list(ks)}: expected numbers of labels to look at, from 1 on")
    n_classes = len(truth.classes)
    pairs = np.unique(truth.video * n_classes + truth.label)
    per_class, per_video = np.bincount(pairs % n_classes, minlength=n_classes), np.bincount(pairs // n_classes)
    key = np.where(predictions.video == UNKNOWN, UNKNOWN, predictions.video * n_classes + predictions.label)
    true = np.isin(key, pairs)
    ap, equal = np.zeros(n_classes), np.zeros(len(key), dtype=np.bool_)
    for number, ranked in enumerate(ranked_by_class(predictions, n_classes)):
        hits = _first_of(key[ranked]) & true[ranked]
        ap[number] = average_precision(hits[None], int(per_class[number]))[0]
        equal[ranked] |= tied(predictions.score[ranked])
    videos = np.unique(truth.video)
    found = np.zeros((len(ks), len(videos)))
    for column, rows in _best_of(videos, predictions):
        equal[rows] |= tied(predictions.score[rows])
        for row, k in enumerate(ks):
            found[row, column] = len(set(key[rows[:k]][true[rows[:k]]].tolist()))
    counts = {"videos_with_labels": len(videos), "predictions": len(key)} | truth.counts | predictions.counts
    return ClassificationResult(
        classes=tuple(truth.classes),
        ap=ap,
        videos=per_class,
        hit={k: float((row > 0).mean()) for k, row in zip(ks, found, strict=True)},
        average_hit={k: float((row / per_video[videos]).mean()) for k, row in zip(ks, found, strict=True)},
        tie_share=float(equal.mean()) if len(key) else 0.0,
        counts=counts,
        options=dict(truth.options),
    )


def scores_json(result: ClassificationResult) -> dict[str, Any]:
    """The result as the content of a scores file; all scores are fractions."""
    return {
        "mAP": result.mean_ap,
        "hit": {str(k): v for k, v in result.hit.items()},
        "average_hit": {str(k): v for k, v in result.average_hit.items()},
        "tie_share": result.tie_share,
        "options": result.options,
        "counts": result.counts,
        "per_class": {
            label: {"AP": float(result.ap[k]), "videos": int(result.videos[k])}
            for k, label in enumerate(result.classes)
        },
    }


def _entries(rows: Any, classes: Any, path: str | Path, video: str) -> list[Any]:
    """The entries of a video, in either layout."""
    if not isinstance(rows, list):
        raise TspError(f"{path}: results[{video!r}] is no list")
    if classes is None:
        return rows
    if not isinstance(classes, list) or len(rows) != len(classes):
        raise TspError(f"{path}: results[{video!r}]: {len(rows)} scores; expected one for each label of 'class'")
    return [{"label": label, "score": score} for label, score in zip(classes, rows, strict=True)]


def _checked(entry: Any, where: str) -> dict[str, Any]:
    try:
        checked = {"label": entry["label"], "score": float(entry["score"])}
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise TspError(f"{where}: expected a label and a score ({error!r})") from error
    if not math.isfinite(checked["score"]):
        raise TspError(f"{where}: the score is not finite")
    return checked


def _first_of(keys: Ints) -> NDArray[np.bool_]:
    first = np.zeros(len(keys), dtype=np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def _best_of(videos: Ints, predictions: ScoredSegments) -> Iterator[tuple[int, Ints]]:
    """Place in `videos` and ranked rows of each video that has predictions."""
    ranking = ranked_within(predictions.video, predictions.score)
    low = np.searchsorted(predictions.video[ranking], videos, side="left")
    high = np.searchsorted(predictions.video[ranking], videos, side="right")
    for place, (begin, end) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if end > begin:
            yield place, ranking[begin:end]
