"""Training targets, losses and peaks on the grid of starts and durations, shared by the boundary-matching methods.

T snippets, D durations, N segments; cell (d, s) stands for [s, s + d + 1) snippets and is valid when s + d < T.
Targets are float64 and computed in the released order of operations: many lie on a threshold.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EPS = 1e-6
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
    return best_tiou(segments, s * gap, s * gap + (d + 1) * gap) * valid_cells(length, durations)


def best_tiou(segments: Floats, start: NDArray[Any], end: NDArray[Any]) -> Floats:
    """Largest tIoU of each interval `start` to `end`, of any shape, with any of `segments` `[N, 2]`."""
    best = np.zeros(np.broadcast_shapes(start.shape, end.shape))
    for first, last in segments:
        inter = np.maximum(np.minimum(end, last) - np.maximum(start, first), 0.0)
        union = (end - start) + (last - first) - inter
        best = np.maximum(best, np.divide(inter, union, out=np.zeros_like(inter), where=union > 0))
    return best


def boundary_map(points: Floats, length: int, *, cell_start: float = -0.5, cell_end: float) -> Floats:
    """Largest share of each node covered by the region of 3 snippets around a boundary.

    Args:
        points: `[N]` starts (or ends) in units of the video's length.
        length: T.
        cell_start, cell_end: node i covers [i + cell_start, i + cell_end] snippets.

    Returns:
        `[T]`.
    """
    gap = 1.0 / length
    i = np.arange(length)
    low, high = gap * (i + cell_start), gap * (i + cell_end)
    half = 3 * gap / 2
    best = np.zeros(length)
    for point in points:
        inter = np.minimum(high, point + half) - np.maximum(low, point - half)
        best = np.maximum(best, np.maximum(inter, 0.0) / (high - low))
    return best


def balanced(p: Tensor, positive: Tensor, negative: Tensor, *, extra: int = 0) -> Tensor:
    """Weighted binary cross entropy: -(mean of log p over the positives + mean of log(1 - p) over the negatives) / 2.

    Args:
        p: probabilities, any shape.
        positive, negative: masks of that shape.
        extra: added to both counts before dividing.

    Returns:
        Scalar; an empty mask adds 0.

    Paper: G-TAD section 3.4 (training), after BSN and BMN.
    Differs: the released formula, otherwise equal, is NaN if one mask is empty.
    """
    total = p.new_zeros(())
    for member, log_p in ((positive, torch.log(p + EPS)), (negative, torch.log(1 - p + EPS))):
        total = total - 0.5 * (log_p * member).sum() / (member.sum() + extra).clamp(min=1)
    return total


def regression_loss(p: Tensor, iou: Tensor, zero: Tensor | None = None) -> Tensor:
    """Half the mean squared error over cells drawn so that high, middle and low tIoU weigh the same.

    Args:
        p: `[B, D, T]` predictions.
        iou: `[B, D, T]` targets, 0 for invalid cells.
        zero: cells of tIoU 0 that count as low; None: no cells.

    Returns:
        Scalar; 0 if no cell is above 0.7. Every call draws cells from the device's generator.

    Paper: G-TAD section 3.4 (training), after BMN.
    Differs: if a set is smaller than the high one, the released code draws from the whole map, including invalid
        cells; here the whole set is taken. Its division 0 / 0 without high cells is 0 here.
    """
    high, middle, low = iou > 0.7, (iou > 0.3) & (iou <= 0.7), (iou > 0) & (iou <= 0.3)
    if zero is not None:
        low = low | zero
    weight = high.to(p.dtype)
    for cells in (middle, low):
        share = high.sum() / cells.sum().clamp(min=1)
        drawn = torch.rand(p.shape, device=p.device) * cells > 1 - share
        weight = weight + (drawn & cells)
    return 0.5 * (weight * (p - iou) ** 2).sum() / weight.sum().clamp(min=1)


def peaks(scores: Floats) -> NDArray[np.bool_]:
    """Candidate boundaries `[T]`: above both neighbours, or above half the maximum; the two ends are False."""
    inner = (scores[1:-1] > scores[:-2]) & (scores[1:-1] > scores[2:])
    inner |= scores[1:-1] > 0.5 * scores.max()
    return np.concatenate([[False], inner, [False]])
