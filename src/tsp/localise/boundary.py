"""Training targets on the grid of starts and durations, shared by the boundary-matching methods.

T snippets, D durations, N segments; cell (d, s) stands for [s, s + d + 1) snippets and is valid when s + d < T.
All in float64: many targets lie on a threshold, where the order of operations decides.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def valid_cells(length: int, durations: int) -> NDArray[np.bool_]:
    """`[D, T]`: whether the segment of a cell ends inside the video."""
    d, s = np.arange(durations)[:, None], np.arange(length)[None, :]
    return s + d < length


def iou_map(segments: Floats, length: int, durations: int) -> Floats:
    """Best tIoU of each cell's segment with any annotated one.

    Args:
        segments: `[N, 2]` in units of the video's length, 0 to 1.
        length: T.
        durations: D.

    Returns:
        `[D, T]`, 0 for invalid cells.
    """
    gap = 1.0 / length
    d, s = np.arange(durations)[:, None], np.arange(length)[None, :]
    start, end = s * gap, s * gap + (d + 1) * gap
    best = np.zeros((durations, length))
    for first, last in segments:
        inter = np.maximum(np.minimum(end, last) - np.maximum(start, first), 0.0)
        union = (end - start) + (last - first) - inter
        best = np.maximum(best, np.divide(inter, union, out=np.zeros_like(inter), where=union > 0))
    return best * valid_cells(length, durations)


def boundary_map(points: Floats, length: int, *, cell_end: float) -> Floats:
    """How far each node lies inside the region of 3 snippets around any of the boundaries.

    Args:
        points: `[N]` starts (or ends) in units of the video's length.
        length: T.
        cell_end: node i covers [i - 0.5, i + cell_end] snippets: 1.5 as released for ActivityNet, else 0.5.

    Returns:
        `[T]`: largest covered share of the node.
    """
    gap = 1.0 / length
    i = np.arange(length)
    low, high = gap * (i - 0.5), gap * (i + cell_end)
    half = 3 * gap / 2
    best = np.zeros(length)
    for point in points:
        inter = np.minimum(high, point + half) - np.maximum(low, point - half)
        best = np.maximum(best, np.maximum(inter, 0.0) / (high - low))
    return best
