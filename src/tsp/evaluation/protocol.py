"""What the protocols share: thresholds, ranking, precision, and how a submission file is scored."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.evaluation.io import Floats, GroundTruth, Ints, ScoredSegments

TIE_WARNING = 0.01
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ProtocolResult:
    """What every result states beside its scores.

    Args:
        tie_share: share of predictions whose score another one of the same list has; their order is a convention.
        counts: odd rows and everything left out.
        options: what differs from the default protocol, and the subset.
    """

    tie_share: float
    counts: dict[str, int]
    options: dict[str, Any] = field(default_factory=dict)


Result = TypeVar("Result", bound=ProtocolResult)


def score_submission(
    truth: GroundTruth,
    path: str | Path,
    *,
    read: Callable[[str | Path, GroundTruth], ScoredSegments],
    evaluate: Callable[[GroundTruth, ScoredSegments], Result],
) -> Result:
    """Read a submission file, score it, and warn where its scores mean little.

    Args:
        truth: the counted instances.
        path: the file.
        read: its reader.
        evaluate: the protocol.

    Raises:
        TspError: naming file and entry of the first error.
    """
    found = read(path, truth)
    result = evaluate(truth, found)
    warn_of(path, len(found.score), result.tie_share)
    return result


def warn_of(path: str | Path, n: int, tie_share: float) -> None:
    """Warn of a file without predictions, or with so many tied scores that their order matters."""
    if not n:
        log.warning("%s: no predictions; every score is 0", path)
    if tie_share > TIE_WARNING:
        log.warning(
            "%s: %.1f %% of the scores are tied, so the order of rows decides; write scores unrounded",
            *(path, 100 * tie_share),
        )


def check_tious(tious: Sequence[float]) -> Floats:
    """Thresholds as `[T]` float64: ascending, in (0, 1], distinct at two decimals."""
    thresholds = np.asarray(tious, dtype=np.float64)
    ascending = thresholds.ndim == 1 and len(thresholds) > 0 and bool((np.diff(thresholds) > 0).all())
    if not ascending or not (thresholds[0] > 0 and thresholds[-1] <= 1):
        raise TspError(f"tIoU thresholds {list(tious)}: expected ascending numbers above 0, up to 1")
    if len({tiou_name(t) for t in thresholds}) < len(thresholds):
        raise TspError(f"tIoU thresholds {list(tious)}: must differ in their first two decimals")
    return thresholds


def tiou_name(tiou: float) -> str:
    """A threshold as scores files spell it."""
    return f"{tiou:.2f}"


def ranked_within(key: Ints, score: Floats) -> Ints:
    """`[M]` rows by ascending key, within a key by falling score; of equal scores the later row comes first."""
    ranking = np.argsort(score, kind="stable")[::-1]
    return np.asarray(ranking[np.argsort(key[ranking], kind="stable")])


def ranked_by_class(predictions: ScoredSegments, n_classes: int) -> list[Ints]:
    """Rows of each class, ranked as in `ranked_within`."""
    if len(predictions.label) and predictions.label.max() >= n_classes:
        raise TspError(f"predictions: label {predictions.label.max()}; the ground truth has {n_classes} classes")
    counts = np.bincount(predictions.label, minlength=n_classes)
    return np.split(ranked_within(predictions.label, predictions.score), np.cumsum(counts)[:-1])


def tied(ranked_scores: Floats) -> NDArray[np.bool_]:
    """Which scores of a sorted list equal another one."""
    same = np.diff(ranked_scores, prepend=np.inf, append=-np.inf) == 0
    return np.asarray(same[1:] | same[:-1])


def average_precision(hits: NDArray[np.bool_], n_instances: int) -> Floats:
    """Interpolated average precision, all points.

    Args:
        hits: `[T, M]` true positives in rank order.
        n_instances: of the class.

    Returns:
        `[T]`, as `interpolated`.
    """
    return interpolated(np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1), hits, n_instances)


def interpolated(precision: Floats, hits: NDArray[np.bool_], n_instances: int) -> Floats:
    """`[T]` mean over instances of the best precision from their hit onwards; instances without hit give 0."""
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((best * hits).sum(axis=1) / n_instances)
