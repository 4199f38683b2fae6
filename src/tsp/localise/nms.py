"""Non-maximum suppression of scored segments.

V videos, N candidates of a video. The formulas follow the released loops operation by operation, so that every score
has the same bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scored = tuple[Floats, Floats]
# Candidates handled in lockstep: enough to amortise a call, few enough to stay in the cache.
LOCKSTEP = 8192
# With stored decays there is little work per candidate, and the calls weigh more.
STORED_LOCKSTEP = 65536
# Segments of a grid whose decays are stored: 210 MB at most.
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
    counts = [len(scores) for _, scores in videos]
    shared = _same_segments(videos, rule)
    stored = _StoredDecays(videos[shared[0]][0], rule) if shared else None
    # Videos of similar size share a rectangle.
    others = sorted(set(range(len(videos))) - set(shared), key=lambda v: counts[v])
    results: dict[int, Scored] = {}
    for members, room, decays in ((shared, STORED_LOCKSTEP, stored), (others, LOCKSTEP, None)):
        for group in _groups(members, counts, room):
            results.update(zip(group, _lockstep([videos[v] for v in group], rule, decays), strict=True))
    return [results[v] for v in range(len(videos))]


def _same_segments(videos: Sequence[Scored], rule: Suppression) -> list[int]:
    """Videos with the segments of the largest one, where storing their decays costs less than half of what it saves."""
    largest = max((segments for segments, _ in videos), key=len, default=np.zeros((0, 2)))
    same = [v for v, (segments, _) in enumerate(videos) if np.array_equal(segments, largest)]
    return same if len(largest) <= CELLS and 2 * len(largest) <= rule.keep * len(same) else []


def _groups(members: list[int], counts: Sequence[int], room: int) -> Iterator[list[int]]:
    """Cut videos, sorted by size, into groups of about `room` candidates, the largest videos first."""
    while members:
        rows = max(1, room // max(1, counts[members[-1]]))
        yield members[-rows:]
        members = members[:-rows]


class _StoredDecays:
    """Decays of the candidates that several videos share; a row is computed when its segment is first emitted."""

    def __init__(self, segments: Floats, rule: Suppression) -> None:
        self._start, self._end = np.asarray(segments, dtype=np.float64).T.copy()
        self._rule, self._rows = rule, dict[int, Floats]()

    def row(self, best: int) -> Floats:
        """`[N]` decays by the segment `best`."""
        if best not in self._rows:
            emitted = self._start[best], self._end[best]
            self._rows[best] = _decays(self._start, self._end, emitted, self._rule)
        return self._rows[best]


def _lockstep(videos: Sequence[Scored], rule: Suppression, stored: _StoredDecays | None) -> list[Scored]:
    """Suppress some videos, a row of a rectangle each, emitting one segment of every video per step."""
    counts = np.array([len(scores) for _, scores in videos])
    shape = (len(videos), max(1, int(counts.max())))
    start, end, left = np.zeros(shape), np.zeros(shape), np.full(shape, -1.0)
    for v, (segments, scores) in enumerate(videos):
        start[v, : counts[v]], end[v, : counts[v]] = np.asarray(segments, dtype=np.float64).T
        left[v, : counts[v]] = scores
    # Emitted and missing candidates are negative, which no decay makes positive.
    every, emitted, undecayed = np.arange(len(videos)), [], left.copy()
    for step in range(min(rule.keep, shape[1] - 1)):
        best = left.argmax(1)
        score = left[every, best]
        active = (score > 0) & (counts - step > 1)
        if not active.any():
            break
        if np.count_nonzero(left == score[:, None]) > len(videos):
            # Of equal scores the one that was higher before any decay, then the earlier row.
            best = np.where(left == score[:, None], undecayed, -2.0).argmax(1)
        emitted.append((np.where(active, best, -1), score))
        left[every, best] = -1.0
        if stored is None:
            left *= _decays(start, end, (start[every, best, None], end[every, best, None]), rule)
        else:
            for v in active.nonzero()[0].tolist():
                left[v] *= stored.row(int(best[v]))
    picked = np.array([best for best, _ in emitted], dtype=np.int64).reshape(-1, len(videos))
    scored = np.array([score for _, score in emitted]).reshape(-1, len(videos))
    return [
        (np.stack([start[v, picked[:n, v]], end[v, picked[:n, v]]], axis=1), scored[:n, v].copy())
        for v, n in enumerate((picked >= 0).sum(0))
    ]


def _decays(start: Floats, end: Floats, emitted: tuple[Floats, Floats], rule: Suppression) -> Floats:
    """Factors of the scores of segments, each 1 or exp(-tIoU^2 / divisor), after segments are emitted."""
    first, last = emitted
    overlap = np.maximum(np.minimum(end, last) - np.maximum(start, first), 0.0)
    # Segments without length have no overlap, and a union of 0.
    if rule.above is None:
        share = overlap / np.maximum(np.maximum(end, last) - np.minimum(start, first), SMALLEST)
        return np.exp(-(share * share) / rule.divisor)
    # On a grid many tIoUs equal the threshold, so the union is added up in the order of the released code.
    union = (end - start) - overlap + last - first
    share = overlap / np.maximum(union, SMALLEST)
    least, most = rule.above
    chosen = share > least + (most - least) * (last - first)
    share, factors = share[chosen], np.ones_like(overlap)
    factors[chosen] = np.exp(-(share * share) / rule.divisor)
    return factors
