"""Non-maximum suppression of scored segments.

V videos, N candidates of a video. The formulas are written as the released loops write them, so that every score has
the same bits.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scored = tuple[Floats, Floats]
# Candidates handled in lockstep: enough to amortise a call, few enough to stay in the cache.
LOCKSTEP = 8192
SMALLEST = np.finfo(np.float64).smallest_subnormal


def soft_nms(
    segments: Floats, scores: Floats, *, divisor: float, keep: int, above: tuple[float, float] | None = None
) -> Scored:
    """Gaussian Soft-NMS: emit the best segment, decay the others by exp(-tIoU^2 / divisor), repeat.

    Stops when `keep` are emitted, one candidate is left, or the best score is 0. The last candidate is never
    emitted (released code, without effect in practice). Equal scores: the earlier row first.

    Args:
        segments: `[N, 2]` start and end, any unit.
        scores: `[N]`, not negative.
        divisor: 0.8 for ActivityNet, 0.46 for THUMOS14.
        keep: at most this many.
        above: (a, b): only where the tIoU is above a + (b - a) x the emitted segment's length, segments being in
            units of the video's length; None: everywhere.

    Returns:
        `[M, 2]` segments and their `[M]` decayed scores, in order of emission.

    Paper: G-TAD section 4 (inference); with `above` as in the released code of BMN.
    """
    return soft_nms_many([(segments, scores)], divisor=divisor, keep=keep, above=above)[0]


def soft_nms_many(
    videos: Sequence[Scored], *, divisor: float, keep: int, above: tuple[float, float] | None = None
) -> list[Scored]:
    """`soft_nms` of every video, several videos at a time.

    Args:
        videos: `V` pairs of segments `[N, 2]` and scores `[N]`.
        divisor, keep, above: as `soft_nms`.

    Returns:
        `V` pairs, in order.
    """
    results: list[Scored] = [(np.zeros((0, 2)), np.zeros(0))] * len(videos)
    # Videos of similar size share a rectangle.
    order = sorted(range(len(videos)), key=lambda v: len(videos[v][1]))
    while order:
        rows = max(1, LOCKSTEP // max(1, len(videos[order[-1]][1])))
        group, order = order[-rows:], order[:-rows]
        for v, result in zip(group, _lockstep([videos[v] for v in group], divisor, keep, above), strict=True):
            results[v] = result
    return results


def _lockstep(videos: list[Scored], divisor: float, keep: int, above: tuple[float, float] | None) -> list[Scored]:
    counts = np.array([len(scores) for _, scores in videos])
    shape = (len(videos), max(1, int(counts.max())))
    start, end, left = np.zeros(shape), np.zeros(shape), np.full(shape, -1.0)
    for v, (segments, scores) in enumerate(videos):
        order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
        start[v, : counts[v]], end[v, : counts[v]] = np.asarray(segments, dtype=np.float64)[order].T
        left[v, : counts[v]] = scores[order]
    # Emitted and missing candidates: negative, which no decay makes positive.
    every, emitted = np.arange(len(videos)), []
    spare = tuple(np.empty(shape) for _ in range(3))
    for step in range(min(keep, shape[1] - 1)):
        best = left.argmax(1)
        score = left[every, best]
        going = (score > 0) & (counts - step > 1)
        if not going.any():
            break
        emitted.append((np.where(going, best, -1), score))
        left[every, best] = -1.0
        if above is None:
            _decay(left, start, end, best, divisor, spare)
        else:
            _decay_above(left, start, end, best, divisor, above)
    picked = np.array([best for best, _ in emitted], dtype=np.int64).reshape(-1, len(videos))
    scored = np.array([score for _, score in emitted]).reshape(-1, len(videos))
    return [
        (np.stack([start[v, picked[:n, v]], end[v, picked[:n, v]]], axis=1), scored[:n, v].copy())
        for v, n in enumerate((picked >= 0).sum(0))
    ]


def _decay(
    left: Floats, start: Floats, end: Floats, best: NDArray[np.int64], divisor: float, spare: tuple[Floats, ...]
) -> None:
    """left *= exp(-tIoU^2 / divisor), row by row; a factor of 1 where nothing overlaps changes no bit."""
    overlap, hull, other = spare
    rows = np.arange(len(best))
    first, last = start[rows, best][:, None], end[rows, best][:, None]
    np.minimum(end, last, out=overlap)
    np.maximum(start, first, out=other)
    overlap -= other
    np.maximum(overlap, 0.0, out=overlap)
    np.maximum(end, last, out=hull)
    np.minimum(start, first, out=other)
    hull -= other
    # The hull of two segments without length is 0, and so is their overlap.
    np.maximum(hull, SMALLEST, out=hull)
    overlap /= hull
    np.multiply(overlap, overlap, out=overlap)
    np.negative(overlap, out=overlap)
    overlap /= divisor
    left *= np.exp(overlap, out=overlap)


def _decay_above(
    left: Floats, start: Floats, end: Floats, best: NDArray[np.int64], divisor: float, above: tuple[float, float]
) -> None:
    """As `_decay`, where the tIoU is above the threshold of the emitted segment's length.

    On the grid many tIoUs equal their threshold, so the union is added up in the order of the released code.
    """
    rows, (least, most) = np.arange(len(best)), above
    first, last = start[rows, best][:, None], end[rows, best][:, None]
    overlap = np.maximum(np.minimum(end, last) - np.maximum(start, first), 0.0)
    union = (end - start) - overlap + last - first
    share = overlap / np.maximum(union, SMALLEST)
    chosen = share > least + (most - least) * (last - first)
    share = share[chosen]
    left[chosen] *= np.exp(-(share * share) / divisor)
