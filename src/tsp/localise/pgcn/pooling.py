"""Features of segments: the largest value of each channel over the units that a segment covers.

T units of a video with C channels, n segments, N frames of the video.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsp.features.resample import resample_time

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Rule = Literal["windows", "rescaled", "time"]
Ticks = Literal["shared", "training", "inference"]
# I3D features on THUMOS14: windows of 64 frames, one every 8, at the video's own rate.
WINDOW, STEP = 64, 8


@dataclass(frozen=True, kw_only=True)
class Units:
    """Time covered by the units of the features.

    Args:
        rule: `windows`: unit i covers frames [8 i, 8 i + 64); `rescaled`: all units share the video evenly; `time`:
            it covers seconds [i stride / fps, (i stride + clip_length) / fps].
        n_frames: N.
        frame_s: seconds of a frame of the video.
        stride: frames at `fps` between clips.
        fps: of the clips' frames.
        clip_length: frames of a clip.
    """

    rule: Rule
    n_frames: int
    frame_s: float = 1 / 30
    stride: int = 1
    fps: float = 15.0
    clip_length: int = 16

    def fit(self, features: Singles, length: int) -> Singles:
        """Features `[n, C]` resampled to the units of the rule: as many as I3D has, or `length`; `time`: unchanged.

        Paper: the TSP author interpolated along time to the number of the method's own features (repository).
        """
        if self.rule == "time":
            return features
        wanted = length if self.rule == "rescaled" else max(1, (self.n_frames - WINDOW) // STEP + 1)
        return resample_time(features, wanted)

    def ranges(self, start: Ints, end: Ints, count: int) -> tuple[Ints, Ints]:
        """First and last unit inside frames [start, end]; the first alone if it is not before the last.

        Args:
            start: `[n]`.
            end: `[n]`.
            count: T.

        Returns:
            `[n]` first and `[n]` last unit, inclusive.

        Paper: P-GCN section 4.1 (implementation details). The rules `windows` and `rescaled` never use the last unit
            in a range, as released; `time` uses all.
        """
        s, e, most = np.asarray(start, np.float64), np.asarray(end, np.float64), count - 2
        if self.rule == "windows":
            first, last = np.floor(s / STEP), np.ceil((e - WINDOW) / STEP)
        elif self.rule == "rescaled":
            first, last = np.floor(count * s / self.n_frames), np.ceil(count * (e + 1) / self.n_frames)
        else:
            rate, most = self.frame_s * self.fps, count - 1
            first = np.floor(s * rate / self.stride)
            last = np.floor((e * rate - self.clip_length) / self.stride)
        low = np.clip(first, 0, count - 1).astype(np.int64)
        high = np.minimum(last, most).astype(np.int64)
        return low, np.where(low < high, high, low)


def ticks(
    segments: ArrayLike, n_frames: int, context: tuple[float, float] = (0.5, 0.5), kind: Ticks = "shared"
) -> Ints:
    """Frames between which course and context of proposals are pooled.

    Args:
        segments: `[n, 2]` frames.
        n_frames: N.
        context: length of the context before and after, in lengths of the proposal.
        kind: `shared`: integer arithmetic, equal in training and inference; `training` and `inference`: the rules of
            the released code, which start a frame later and sometimes lose a frame to rounding.

    Returns:
        `[n, 4]` start of the course, its end, start of the context before, end of the context after.

    Differs: `shared` is our rule; the other two are released.
    """
    start, end = np.asarray(segments, np.int64).reshape(-1, 2).T
    before, after = context
    if kind == "training":
        first = start + 1
        length = end - first + 1
        low = np.maximum(1, first - (before * length).astype(np.int64))
        high = np.minimum(n_frames, end + (after * length).astype(np.int64))
        return np.stack([first, end, low, high], axis=1)
    if kind == "inference":
        s, e = start / n_frames, end / n_frames
        points = (s, e, np.maximum(0.0, s - before * (e - s)), np.minimum(1.0, e + after * (e - s)))
        return np.stack([(p * n_frames).astype(np.int64) for p in points], axis=1)
    length = end - start
    low = np.maximum(0, np.floor(start - before * length)).astype(np.int64)
    high = np.minimum(n_frames, np.floor(end + after * length)).astype(np.int64)
    return np.stack([start, end, low, high], axis=1)


def range_max(features: Singles, first: Ints, last: Ints) -> Singles:
    """Largest value of each channel over units first ... last.

    Args:
        features: `[T, C]`.
        first: `[n]`.
        last: `[n]`, inclusive, not before `first`.

    Returns:
        `[n, C]`: each the maximum of two rows of a table of maxima over 2^k units.
    """
    level = np.frexp(np.asarray(last - first + 1, np.float64))[1] - 1
    pooled = np.empty((len(first), features.shape[1]), np.float32)
    table = features
    for k in range(int(level.max(initial=0)) + 1):
        if k:
            # A table serves only its own queries and the next table.
            half = 1 << (k - 1)
            table = np.maximum(table[:-half], table[half:])
        mine = np.flatnonzero(level == k)
        pooled[mine] = np.maximum(table[first[mine]], table[last[mine] + 1 - (1 << k)])
    return pooled


def pool_segments(features: Singles, points: Ints, units: Units) -> Singles:
    """Context before, course, and context after of each segment, pooled and joined.

    Args:
        features: `[T, C]`.
        points: `[n, 4]`, see `ticks`.
        units: of the features.

    Returns:
        `[n, 3 C]`; the middle third is the course.

    Paper: P-GCN section 3.3 (extended proposals).
    """
    course, end, before, after = points.T
    parts = [units.ranges(*pair, len(features)) for pair in ((before, course), (course, end), (end, after))]
    pooled = range_max(features, *(np.concatenate(side) for side in zip(*parts, strict=True)))
    return np.concatenate(np.split(pooled, 3), axis=1)
