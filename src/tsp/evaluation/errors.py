"""Error analyses of detections: kinds of false positives, sensitivity to instance characteristics, misses (DETAD)."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.evaluation.detection import ACTIVITYNET_TIOUS, UNMATCHED, match, overlapping
from tsp.evaluation.io import (
    Floats,
    GroundTruth,
    Ints,
    ScoredSegments,
    read_detections,
    read_ground_truth,
    with_durations,
)
from tsp.evaluation.protocol import average_precision, check_tious, interpolated, tied, tiou_name

Mask = NDArray[np.bool_]
SIZES = ("XS", "S", "M", "L", "XL")
# Right edges of the buckets: share of the video, seconds, instances in the video.
BUCKETS: dict[str, dict[str, tuple[float, ...]]] = {
    "activitynet": {
        "coverage": (0.2, 0.4, 0.6, 0.8, 1.0),
        "length": (30.0, 60.0, 120.0, 180.0, np.inf),
        "instances": (1.0, 4.0, 8.0, np.inf),
    },
    "thumos14": {
        "coverage": (0.02, 0.04, 0.06, 0.08, 1.0),
        "length": (3.0, 6.0, 12.0, 18.0, np.inf),
        "instances": (1.0, 40.0, 80.0, np.inf),
    },
    # Generated videos of half a minute: short actions end at 3.2 s, long ones begin at 4 s.
    "miniature": {
        "coverage": (0.08, 0.1, 0.15, 0.2, 1.0),
        "length": (2.5, 3.5, 5.0, 6.5, np.inf),
        "instances": (1.0, 2.0, 3.0, np.inf),
    },
}
ERROR_TIOUS = {"activitynet": ACTIVITYNET_TIOUS, "thumos14": (0.5,), "miniature": ACTIVITYNET_TIOUS}
TRUE_POSITIVE, DOUBLE, WRONG_LABEL, LOCALISATION, CONFUSION, BACKGROUND = range(6)
KINDS = ("true positive", "double detection", "wrong label", "localisation", "confusion", "background")
GROUPS = 10
BACKGROUND_TIOU = 0.1
MISS_PRECISION = 0.05
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Characterised:
    """Ground truth with the bucket of each instance.

    Args:
        truth: the instances that count.
        buckets: characteristic -> `[N]` number of the bucket.
        names: characteristic -> names of its buckets.
        removed: instances left out, by reason.
    """

    truth: GroundTruth
    buckets: dict[str, Ints]
    names: dict[str, tuple[str, ...]]
    removed: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The predictions of one class in rank order.

    Args:
        rows: `[M]` row of each prediction.
        matched: `[T, M]` instance that it takes, or -1.
        n_instances: of the class.
    """

    rows: Ints
    matched: Ints
    n_instances: int


def bucket_of(values: Floats, edges: Sequence[float]) -> Ints:
    """Number of the bucket of each value; buckets hold their right edge, the first its left one too."""
    return np.asarray(np.searchsorted(np.asarray(edges), values, side="left"), dtype=np.int64)


def characterise(truth: GroundTruth, edges: dict[str, tuple[float, ...]]) -> Characterised:
    """Sort instances into buckets; those longer than their video or without length are left out first.

    Args:
        truth: with the videos' durations.
        edges: an entry of `BUCKETS`.

    Raises:
        TspError: a video with instances has no duration, or nothing is left.
    """
    source = truth.options.get("ground_truth", "ground truth")
    if truth.durations is None:
        raise TspError(f"{source}: no durations; the error analyses need the length of each video")
    duration = truth.durations[truth.video]
    bad = np.flatnonzero(~(duration > 0))
    if len(bad):
        name = truth.videos[int(truth.video[bad[0]])]
        raise TspError(
            f"{source}: video {name!r} has the duration {duration[bad[0]]}; give a metadata file that has it"
        )
    length = truth.segments[:, 1] - truth.segments[:, 0]
    values = {
        "coverage": length / duration,
        "length": length,
        "instances": np.bincount(truth.video, minlength=len(truth.videos))[truth.video].astype(np.float64),
    }
    too_long, empty = values["coverage"] > 1, length <= 0
    keep = ~too_long & ~empty
    if not keep.any():
        raise TspError(f"{source}: no instance is inside its video; nothing can be measured")
    kept_labels, label = np.unique(truth.label[keep], return_inverse=True)
    removed = {"instances_longer_than_video": int(too_long.sum()), "instances_not_positive": int(empty.sum())}
    if not keep.all():
        log.warning("%d instances are left out: longer than their video, or without length", (~keep).sum())
    kept = replace(
        truth,
        classes=[truth.classes[k] for k in kept_labels],
        video=truth.video[keep],
        label=label,
        segments=truth.segments[keep],
        counts=truth.counts | {"instances": int(keep.sum())},
    )
    buckets = {name: bucket_of(values[name][keep], limits) for name, limits in edges.items()}
    return Characterised(
        truth=kept,
        buckets=buckets,
        names={name: SIZES[: len(limits)] for name, limits in edges.items()},
        removed=removed,
    )


def analyse(
    instances: Characterised,
    predictions: ScoredSegments,
    tious: Sequence[float] = ACTIVITYNET_TIOUS,
    *,
    joint: bool = True,
    strict_compat: bool = False,
) -> dict[str, Any]:
    """All analyses, as the content of an errors file; scores are fractions, `null` is undefined.

    Args:
        instances: ground truth in buckets.
        predictions: numbered by `instances.truth`.
        tious: thresholds, ascending, in (0, 1].
        joint: in the sensitivity analysis, a prediction that takes an instance of another bucket at any threshold
            is ignored at all of them (as in the published plots); False: at that threshold only.
        strict_compat: see `tsp.evaluation.detection.evaluate`.

    Paper: the gains on short instances (sensitivity analysis by DETAD, Alwassel et al., ECCV 2018).
    Differs: in videos without ground truth every false positive is background; released code compares all but the
        first one with the instances of another video.
    """
    thresholds, truth = check_tious(tious), instances.truth
    norm = len(truth.label) / len(truth.classes)
    names = [tiou_name(t) for t in thresholds]
    ranked = rank(truth, predictions, thresholds, strict_compat=strict_compat)
    normalised = np.stack([_ap(r, r.matched > UNMATCHED, r.matched == UNMATCHED, norm) for r in ranked], axis=1)
    plain = np.stack([average_precision(r.matched > UNMATCHED, r.n_instances) for r in ranked], axis=1)
    first = top(truth, predictions)
    n_tied = sum(int(tied(predictions.score[r.rows]).sum()) for r in ranked)
    return {
        "average_mAP_N": float(normalised.mean()),
        "mAP_N": dict(zip(names, normalised.mean(axis=1).tolist(), strict=True)),
        "average_mAP": float(plain.mean()),
        "mAP": dict(zip(names, plain.mean(axis=1).tolist(), strict=True)),
        "normaliser": norm,
        "tie_share": n_tied / max(len(predictions.score), 1),
        "false_positives": false_positives(truth, first, thresholds, norm, strict_compat=strict_compat),
        "sensitivity": sensitivity(instances, ranked, norm, float(normalised.mean()), joint=joint),
        "false_negatives": false_negatives(instances, ranked, norm),
        "options": truth.options | {"strict_compat": strict_compat, "joint": joint},
        "counts": truth.counts | predictions.counts | instances.removed,
    }


def analyse_files(
    annotations: str | Path,
    predictions: str | Path,
    subset: str,
    buckets: str,
    *,
    metadata: str | Path | None = None,
) -> dict[str, Any] | None:
    """`analyse` of a submission, with the buckets and thresholds of one data set.

    Args:
        annotations: ground truth.
        predictions: labelled detections.
        subset: exact name, such as `validation`.
        buckets: entry of `BUCKETS`.
        metadata: table with the videos' durations, read where the annotations do not state all of them.

    Returns:
        None where the durations of the videos are unknown.
    """
    truth = read_ground_truth(annotations, subset)
    stated = truth.durations is not None and bool((truth.durations[truth.video] > 0).all())
    if not stated and metadata is None:
        log.warning("%s: no durations of all videos, so errors are not analysed", annotations)
        return None
    instances = characterise(truth if stated or metadata is None else with_durations(truth, metadata), BUCKETS[buckets])
    return analyse(instances, read_detections(predictions, instances.truth), ERROR_TIOUS[buckets])


def rank(truth: GroundTruth, predictions: ScoredSegments, thresholds: Floats, *, strict_compat: bool) -> list[Ranked]:
    """Rank and match the predictions of each class."""
    n_instances = np.bincount(truth.label, minlength=len(truth.classes)).tolist()
    pairs = match(truth, predictions, thresholds, strict_compat=strict_compat)
    return [
        Ranked(rows=rows, matched=matched, n_instances=n) for (rows, matched), n in zip(pairs, n_instances, strict=True)
    ]


def top(truth: GroundTruth, predictions: ScoredSegments) -> ScoredSegments:
    """The best predictions of each class, ten for each of its instances; of equal scores the earlier rows stay."""
    order = np.lexsort((-predictions.score, predictions.label))
    counts = np.bincount(predictions.label, minlength=len(truth.classes))
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    limit = GROUPS * np.bincount(truth.label, minlength=len(counts))
    rows = np.sort(order[place < limit[predictions.label[order]]])
    columns = {name: getattr(predictions, name)[rows] for name in ("video", "label", "segments", "score")}
    return replace(predictions, **columns)


def normalised_precision(hits: Mask, misses: Mask, n_instances: int, norm: float) -> Floats:
    """`[T, M]` precision as if the class had `norm` instances; 0 before the first prediction that counts.

    Args:
        hits: `[T, M]` true positives in rank order.
        misses: `[T, M]` false positives; predictions in neither mask are ignored.
        n_instances: of the class.
        norm: mean number of instances of a class.
    """
    expected = np.cumsum(hits, axis=1) / n_instances * norm
    total = expected + np.cumsum(misses, axis=1)
    return np.asarray(np.divide(expected, total, out=np.zeros_like(total), where=total > 0))


def false_positives(
    truth: GroundTruth, predictions: ScoredSegments, thresholds: Floats, norm: float, *, strict_compat: bool = False
) -> dict[str, Any]:
    """What false positives are, by rank, and what removing each kind would gain.

    Args:
        truth: the instances.
        predictions: the top ones (`top`).
        thresholds: `[T]`.
        norm: mean number of instances of a class.
        strict_compat: see `tsp.evaluation.detection.evaluate`.
    """
    ranked = rank(truth, predictions, thresholds, strict_compat=strict_compat)
    overlap, label = _best_instance(truth, predictions)
    counts = np.zeros((len(thresholds), GROUPS, len(KINDS)), dtype=np.int64)
    gains = np.zeros((len(KINDS), len(ranked)))
    for number, r in enumerate(ranked):
        kinds = _kinds(r.matched, overlap[r.rows], label[r.rows] == number, thresholds)
        group = np.arange(len(r.rows)) // r.n_instances
        for t, row in enumerate(kinds):
            np.add.at(counts[t], (group, row), 1)
        hits, misses = kinds == TRUE_POSITIVE, kinds != TRUE_POSITIVE
        base = _ap(r, hits, misses, norm).mean()
        gains[TRUE_POSITIVE, number] = base
        for kind in range(1, len(KINDS)):
            gains[kind, number] = _ap(r, hits, misses & (kinds != kind), norm).mean() - base
    sizes = counts[0].sum(axis=1)
    shares = counts.mean(axis=0) / np.maximum(sizes, 1)[:, None]
    profile = [
        {"group": g + 1, "predictions": int(sizes[g])}
        | {kind: float(v) if sizes[g] else None for kind, v in zip(KINDS, shares[g], strict=True)}
        for g in range(GROUPS)
    ]
    totals = {
        tiou_name(t): dict(zip(KINDS, c.tolist(), strict=True))
        for t, c in zip(thresholds, counts.sum(axis=1), strict=True)
    }
    means = gains.mean(axis=1).tolist()
    return {
        "predictions": len(predictions.score),
        "average_mAP_N": means[TRUE_POSITIVE],
        "profile": profile,
        "totals": totals,
        "impact": dict(zip(KINDS[1:], means[1:], strict=True)),
    }


def sensitivity(
    instances: Characterised, ranked: list[Ranked], norm: float, overall: float, *, joint: bool = True
) -> dict[str, Any]:
    """Normalised average mAP of the instances of each bucket, and the range over the buckets.

    Args:
        instances: ground truth in buckets.
        ranked: all predictions, matched.
        norm: mean number of instances of a class.
        overall: normalised average mAP of all instances.
        joint: see `analyse`.
    """
    result: dict[str, Any] = {"average_mAP_N": overall}
    for name, inside in instances.buckets.items():
        values: dict[str, dict[str, Any]] = {}
        for number, size in enumerate(instances.names[name]):
            mine = inside == number
            values[size] = _share(mine) | {"average_mAP_N": _bucket_map(instances.truth, ranked, mine, norm, joint)}
        found = [v["average_mAP_N"] for v in values.values() if v["average_mAP_N"] is not None]
        result[name] = {
            "buckets": values,
            "min": min(found),
            "max": max(found),
            "min_relative": min(found) / overall if overall else None,
            "max_relative": max(found) / overall if overall else None,
        }
    return result


def false_negatives(instances: Characterised, ranked: list[Ranked], norm: float) -> dict[str, Any]:
    """Share of instances that no prediction of sufficient precision finds, by bucket and pair of buckets.

    Args:
        instances: ground truth in buckets.
        ranked: all predictions, matched.
        norm: mean number of instances of a class.
    """
    n = len(instances.truth.label)
    missed = np.ones((len(ranked[0].matched), n), dtype=np.bool_)
    for r in ranked:
        hits = r.matched > UNMATCHED
        # A match at a rank of lower precision does not count as found.
        hits &= normalised_precision(hits, ~hits, r.n_instances, norm) > MISS_PRECISION
        for row, matched, hit in zip(missed, r.matched, hits, strict=True):
            row[matched[hit]] = False
    rate = missed.mean(axis=0)
    result: dict[str, Any] = {"missed": float(rate.mean()), "min_precision": MISS_PRECISION}
    for name, inside in instances.buckets.items():
        sizes = enumerate(instances.names[name])
        result[name] = {size: _missed(inside == number, rate) for number, size in sizes}
    result["pairs"] = {}
    for one, other in combinations(instances.buckets, 2):
        result["pairs"][f"{one} x {other}"] = {
            f"{a} {b}": _missed((instances.buckets[one] == i) & (instances.buckets[other] == j), rate)
            for i, a in enumerate(instances.names[one])
            for j, b in enumerate(instances.names[other])
        }
    return result


def _ap(ranked: Ranked, hits: Mask, misses: Mask, norm: float, n_instances: int | None = None) -> Floats:
    """`[T]` interpolated average normalised precision."""
    n = n_instances or ranked.n_instances
    return interpolated(normalised_precision(hits, misses, n, norm), hits, n)


def _best_instance(truth: GroundTruth, predictions: ScoredSegments) -> tuple[Floats, Ints]:
    """`[M]` highest tIoU with any instance of the video, and that instance's label; 0 and -1 without overlap."""
    prediction, instance, overlap = overlapping(
        (predictions.video, predictions.segments), (truth.video, truth.segments), nan_hits=False
    )
    order = np.lexsort((instance, -overlap, prediction))  # equal overlap: the first one in the file decides
    prediction, instance, overlap = prediction[order], instance[order], overlap[order]
    first = np.flatnonzero(np.diff(prediction, prepend=-1))
    best, label = np.zeros(len(predictions.score)), np.full(len(predictions.score), UNMATCHED)
    best[prediction[first]], label[prediction[first]] = overlap[first], truth.label[instance[first]]
    return best, label


def _kinds(matched: Ints, overlap: Floats, same_label: Mask, thresholds: Floats) -> Ints:
    """`[T, M]` kind of each prediction."""
    near, over = overlap >= BACKGROUND_TIOU, overlap[None] >= thresholds[:, None]
    kinds = np.where(over, np.where(same_label, DOUBLE, WRONG_LABEL), np.where(same_label, LOCALISATION, CONFUSION))
    kinds[:, ~near] = BACKGROUND
    kinds[matched > UNMATCHED] = TRUE_POSITIVE
    return np.asarray(kinds, dtype=np.int64)


def _bucket_map(truth: GroundTruth, ranked: list[Ranked], mine: Mask, norm: float, joint: bool) -> float | None:
    values = [_ap(r, *masks, norm, n) for r, masks, n in _restricted(truth, ranked, mine, joint)]
    return float(np.mean(values)) if values else None


def _restricted(
    truth: GroundTruth, ranked: list[Ranked], mine: Mask, joint: bool
) -> Iterator[tuple[Ranked, tuple[Mask, Mask], int]]:
    """Classes with instances among `mine`: true and false positives without what belongs to other instances."""
    n_instances = np.bincount(truth.label[mine], minlength=len(ranked)).tolist()
    for r, n in zip(ranked, n_instances, strict=True):
        if n:
            taken = r.matched > UNMATCHED
            others = taken & ~mine[r.matched]
            dropped = np.broadcast_to(others.any(axis=0), others.shape) if joint else others
            yield r, (taken & ~others & ~dropped, ~taken & ~dropped), n


def _share(mine: Mask) -> dict[str, Any]:
    return {"instances": int(mine.sum()), "share": float(mine.mean())}


def _missed(mine: Mask, rate: Floats) -> dict[str, Any]:
    return _share(mine) | {"missed": float(rate[mine].mean()) if mine.any() else None}
