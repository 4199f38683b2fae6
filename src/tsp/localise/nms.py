"""Non-maximum suppression of scored segments.

V videos, N candidates of a video. The formulas are written as the released loops write them, so that every score has
the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scored = tuple[Floats, Floats]
# Candidates handled in lockstep: enough to amortise a call, few enough to stay in the cache.
LOCKSTEP = 8192
# With the decays at hand little is done per candidate, and calls weigh more.
TABLE_LOCKSTEP = 65536
# Segments of a grid whose decays are kept: 210 MB at most.
CELLS = 5120
SMALLEST = np.finfo(np.float64).smallest_subnormal


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """Options of `soft_nms`."""

    divisor: float
    keep: int
    above: tuple[float, float] | None = None


def suppress(videos: Sequence[Scored], rule: Suppression) -> list[Scored]:
    """`soft_nms_many` by a rule."""
    return soft_nms_many(videos, divisor=rule.divisor, keep=rule.keep, above=rule.above)


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
    rule = Suppression(divisor=divisor, keep=keep, above=above)
    results: list[Scored] = [(np.zeros((0, 2)), np.zeros(0))] * len(videos)
    table = _Table.of(videos, rule)
    # Videos of similar size share a rectangle.
    order = sorted(range(len(videos)), key=lambda v: len(videos[v][1]))
    while order:
        room = LOCKSTEP if table is None else TABLE_LOCKSTEP
        rows = max(1, room // max(1, len(videos[order[-1]][1])))
        group, order = order[-rows:], order[:-rows]
        for v, result in zip(group, _lockstep([videos[v] for v in group], rule, table), strict=True):
            results[v] = result
    return results


def _lockstep(videos: list[Scored], rule: Suppression, table: "_Table | None") -> list[Scored]:
    counts = np.array([len(scores) for _, scores in videos])
    shape = (len(videos), max(1, int(counts.max())))
    start, end, left = np.zeros(shape), np.zeros(shape), np.full(shape, -1.0)
    for v, (segments, scores) in enumerate(videos):
        start[v, : counts[v]], end[v, : counts[v]] = np.asarray(segments, dtype=np.float64).T
        left[v, : counts[v]] = scores
    # Emitted and missing candidates: negative, which no decay makes positive.
    every, emitted, first = np.arange(len(videos)), [], left.copy()
    cells = None if table is None else [table.index(segments) for segments, _ in videos]
    spare = tuple(np.empty(shape) for _ in range(3))
    for step in range(min(rule.keep, shape[1] - 1)):
        best = left.argmax(1)
        score = left[every, best]
        going = (score > 0) & (counts - step > 1)
        if not going.any():
            break
        if np.count_nonzero(left == score[:, None]) > len(videos):
            best = np.where(left == score[:, None], first, -2.0).argmax(1)
        emitted.append((np.where(going, best, -1), score))
        left[every, best] = -1.0
        if table is not None and cells is not None:
            for v in going.nonzero()[0].tolist():
                table.decay(left[v, : counts[v]], int(best[v]), cells[v])
        else:
            _decay(left, start, end, (start[every, best][:, None], end[every, best][:, None]), rule, spare)
    picked = np.array([best for best, _ in emitted], dtype=np.int64).reshape(-1, len(videos))
    scored = np.array([score for _, score in emitted]).reshape(-1, len(videos))
    return [
        (np.stack([start[v, picked[:n, v]], end[v, picked[:n, v]]], axis=1), scored[:n, v].copy())
        for v, n in enumerate((picked >= 0).sum(0))
    ]


class _Table:
    """Decay of every segment of a grid by every other, for videos whose candidates are the same few segments.

    A row is filled when its segment is first emitted, by the formulas that serve without table.
    """

    def __init__(self, cells: NDArray[np.complex128], rule: Suppression) -> None:
        self._order, self._rule = cells.argsort(), rule
        self._sorted, self._start, self._end = cells[self._order], cells.real.copy()[None], cells.imag.copy()[None]
        self._rows, self._known = np.empty((len(cells), len(cells))), np.zeros(len(cells), dtype=bool)
        self._last: tuple[Floats, NDArray[np.int64] | None] | None = None

    @classmethod
    def of(cls, videos: Sequence[Scored], rule: Suppression) -> "_Table | None":
        """None where there are too many different segments, or each is seen too seldom."""
        total = sum(len(scores) for _, scores in videos)
        cells, last = np.zeros(0, dtype=np.complex128), None
        for segments, _ in videos:
            if last is not None and np.array_equal(segments, last):
                continue
            last, here = segments, _as_one(segments)
            if len(cells) == 0 or (cells[np.searchsorted(cells[:-1], here)] != here).any():
                cells = np.union1d(cells, here)
            # All rows together must cost less than half of what they save.
            if len(cells) > CELLS or 2 * len(cells) ** 2 > rule.keep * total:
                return None
        # In the order of a video that has them all, whose rows then need no picking.
        whole = next((_as_one(segments) for segments, _ in videos if len(segments) == len(cells)), cells)
        return cls(whole if np.array_equal(np.sort(whole), cells) else cells, rule)

    def index(self, segments: Floats) -> NDArray[np.int64] | None:
        """Numbers of the segments, None where they are all in order; videos one after the other often have the same."""
        if self._last is None or not np.array_equal(self._last[0], segments):
            found = self._order[np.searchsorted(self._sorted, _as_one(segments))]
            whole = np.array_equal(found, np.arange(len(self._known)))
            self._last = segments, None if whole else found
        return self._last[1]

    def decay(self, left: Floats, best: int, cells: NDArray[np.int64] | None) -> None:
        """left *= the decay of the `cells` by the one at `best`."""
        number = best if cells is None else cells[best]
        if not self._known[number]:
            row, spare = np.ones((1, len(self._known))), tuple(np.empty((1, len(self._known))) for _ in range(3))
            emitted = self._start[:, number, None], self._end[:, number, None]
            _decay(row, self._start, self._end, emitted, self._rule, spare)
            self._rows[number], self._known[number] = row[0], True
        row = self._rows[number]
        left *= row if cells is None else row.take(cells)


def _as_one(segments: Floats) -> NDArray[np.complex128]:
    """`[N, 2]` to `[N]`, so that a segment is one value."""
    return np.ascontiguousarray(segments, dtype=np.float64).view(np.complex128)[:, 0]


def _decay(
    left: Floats, start: Floats, end: Floats, best: Scored, rule: Suppression, spare: tuple[Floats, ...]
) -> None:
    """left *= the decay by the emitted segments `best`, row by row."""
    if rule.above is None:
        _decay_all(left, start, end, best, rule.divisor, spare)
    else:
        _decay_above(left, start, end, best, rule.divisor, rule.above)


def _decay_all(
    left: Floats, start: Floats, end: Floats, best: Scored, divisor: float, spare: tuple[Floats, ...]
) -> None:
    """left *= exp(-tIoU^2 / divisor); a factor of 1 where nothing overlaps changes no bit."""
    overlap, hull, other = spare
    first, last = best
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
    left: Floats, start: Floats, end: Floats, best: Scored, divisor: float, above: tuple[float, float]
) -> None:
    """As `_decay_all`, where the tIoU is above the threshold of the emitted segment's length.

    On the grid many tIoUs equal their threshold, so the union is added up in the order of the released code.
    """
    (least, most), (first, last) = above, best
    overlap = np.maximum(np.minimum(end, last) - np.maximum(start, first), 0.0)
    union = (end - start) - overlap + last - first
    share = overlap / np.maximum(union, SMALLEST)
    chosen = share > least + (most - least) * (last - first)
    share = share[chosen]
    left[chosen] *= np.exp(-(share * share) / divisor)
