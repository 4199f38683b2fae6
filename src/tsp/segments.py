"""Arithmetic of segments: overlap, background, and the time of a feature in seconds."""

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLIP_FPS = 15
CLIP_LENGTH = 16
Floats = NDArray[np.float64]


def tiou(a: ArrayLike, b: ArrayLike) -> Floats:
    """Temporal intersection over union of every pair.

    Args:
        a: `[N, 2]` start and end, any unit.
        b: `[M, 2]` in the same unit.

    Returns:
        `[N, M]` float64 in [0, 1]; 0 where the union is not positive.
    """
    a = np.asarray(a, dtype=np.float64).reshape(-1, 2)
    b = np.asarray(b, dtype=np.float64).reshape(-1, 2)
    inter = np.minimum(a[:, None, 1], b[None, :, 1]) - np.maximum(a[:, None, 0], b[None, :, 0])
    inter = np.maximum(inter, 0.0)
    union = (b[:, 1] - b[:, 0])[None, :] + (a[:, 1] - a[:, 0])[:, None] - inter
    return np.asarray(np.divide(inter, union, out=np.zeros_like(inter), where=union > 0))


def feature_time(index: ArrayLike, stride: int, fps: float = CLIP_FPS, clip_length: int = CLIP_LENGTH) -> Floats:
    """Centre of feature `index` in seconds: (index * stride + clip_length / 2) / fps.

    Args:
        index: feature index, scalar or array.
        stride: frames (at `fps`) between the starts of consecutive clips.
        fps: frame rate of the clips.
        clip_length: frames of a clip.
    """
    return (np.asarray(index, dtype=np.float64) * stride + clip_length / 2) / fps


def background_released(starts: Floats, ends: Floats, duration_s: float, min_length_s: float) -> Floats:
    """Background as in the released ground-truth files: gaps between consecutive actions in start order.

    Overlapping actions are not merged, so a short action inside a long one leaves "background" inside the
    long one; `background_clean` avoids this.

    Args:
        starts: `[N]` seconds, annotation order.
        ends: `[N]` seconds.
        duration_s: length of the video.
        min_length_s: gaps at least this long are kept (16/3 s ActivityNet, 16/15 s THUMOS14).

    Returns:
        `[G, 2]` seconds in time order.

    Paper: section 3 (background clips); rule recovered from the released files.
    """
    order = _argsort_like_release(starts)
    gap_starts = np.concatenate([[0.0], ends[order]])
    gap_ends = np.concatenate([starts[order], [duration_s]])
    keep = gap_ends - gap_starts >= min_length_s
    return np.stack([gap_starts[keep], gap_ends[keep]], axis=1)


def background_clean(starts: Floats, ends: Floats, duration_s: float, min_length_s: float) -> Floats:
    """Background as the complement of all actions within the video.

    Args and Returns: as `background_released`.
    """
    order = np.argsort(starts, kind="stable")
    begin = np.clip(starts[order], 0.0, duration_s)
    reach = np.maximum.accumulate(np.clip(ends[order], 0.0, duration_s)) if len(order) else ends[order]
    gap_starts = np.concatenate([[0.0], reach])
    gap_ends = np.concatenate([begin, [duration_s]])
    keep = gap_ends - gap_starts >= min_length_s
    return np.stack([gap_starts[keep], gap_ends[keep]], axis=1)


def _argsort_like_release(keys: Floats) -> NDArray[np.int64]:
    """Order of `keys` with ties broken as by the quicksort that produced the released files.

    The released order of equal starts results from a median-of-three quicksort with insertion sort below 16
    elements. It is implemented here because current libraries use other, CPU-dependent sorting code.
    """
    v = keys.tolist()
    order = list(range(len(v)))
    stack = [(0, len(v) - 1)]
    while stack:
        low, high = stack.pop()
        while high - low > 15:
            middle = low + (high - low) // 2
            for left, right in ((low, middle), (middle, high), (low, middle)):
                if v[order[right]] < v[order[left]]:
                    order[left], order[right] = order[right], order[left]
            pivot = v[order[middle]]
            i, j = low, high - 1
            order[middle], order[j] = order[j], order[middle]
            while True:
                i += 1
                while v[order[i]] < pivot:
                    i += 1
                j -= 1
                while pivot < v[order[j]]:
                    j -= 1
                if i >= j:
                    break
                order[i], order[j] = order[j], order[i]
            order[i], order[high - 1] = order[high - 1], order[i]
            # The larger part is pushed onto the stack, the smaller one is sorted first.
            if i - low < high - i:
                stack.append((i + 1, high))
                high = i - 1
            else:
                stack.append((low, i - 1))
                low = i + 1
        for i in range(low + 1, high + 1):
            item, j = order[i], i
            while j > low and v[item] < v[order[j - 1]]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = item
    return np.asarray(order, dtype=np.int64)


def clip_seconds(clip_length: int = CLIP_LENGTH, clip_fps: float = CLIP_FPS) -> float:
    """Length of a clip in seconds (16 frames at 15 fps: 16/15 s)."""
    return float(Fraction(clip_length) / Fraction(clip_fps))
