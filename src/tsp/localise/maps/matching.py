"""The boundary-matching layer of BMN as one constant matrix, applied after the convolution that follows it.

Sampling features at fixed points and the convolution over the samples are both linear, so they commute. Mixing
channels first leaves S columns per snippet to sample instead of P x S per cell, and the samples of all cells are one
constant sparse matrix, built once per grid.

B batch, P channels, T snippets, D durations, S bins of a cell, O outputs of the convolution.
"""

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsp.localise.maps import sampling
from tsp.localise.maps.targets import valid_cells

Layout = Literal["start_end", "duration_start"]
SampledEnd = Literal["next", "last"]
# Points that a bin averages, and the share of its length that a segment is widened by on each side: BMN section 3.2.
POINTS, EXPAND = 3, 0.5


@dataclass(frozen=True)
class MatchingGrid:
    """The geometry of the map; a cell is the segment from its first to its last snippet, both included.

    Args:
        length: T.
        durations: D, the longest segment.
        bins: S.
        layout: rows and columns of the map: first and last snippet `[T, T]`, or duration - 1 and start `[D, T]`.
        sampled_end: a segment is sampled up to the snippet after its last (2020 code and the TSP author's), or up to
            its last (2019 code).
    """

    length: int
    durations: int
    bins: int
    layout: Layout
    sampled_end: SampledEnd

    @functools.cached_property
    def valid(self) -> NDArray[np.bool_]:
        """`[T, T]` or `[D, T]`: cells that are segments of the video."""
        if self.layout == "duration_start":
            return valid_cells(self.length, self.durations)
        first, last = np.arange(self.length)[:, None], np.arange(self.length)[None, :]
        return (first <= last) & (last < first + self.durations)

    @functools.cached_property
    def cells(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last snippet of the valid cells, in the map's order."""
        row, column = np.nonzero(self.valid)
        return (row, column) if self.layout == "start_end" else (column, column + row)


def points(first: NDArray[np.int64], last: NDArray[np.int64], grid: MatchingGrid) -> NDArray[np.float64]:
    """`[n, S * 3]` positions, in snippets, that the cells sample; bin b averages 3b to 3b + 2."""
    end = last + 1 if grid.sampled_end == "next" else last
    margin = EXPAND * (end - first + 1)
    low, high = first - margin, end + margin
    count = grid.bins * POINTS
    step = (high - low) / (count - 1)
    # Operations in the released order: at -1 the rounding decides between no weight and full weight.
    return np.asarray(low[:, None] + step[:, None] * np.arange(count))


def interpolation(position: NDArray[np.float64], length: int) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Two snippets and their weights for every position; a weight may be 0.

    Between snippets the interpolation is linear. The first snippet is held on (-1, 0], the last fades out on
    [T - 1, T): the released code truncates towards zero.
    """
    inside = (position > -1) & (position < length)
    held = np.clip(position, 0.0, length)
    low = np.minimum(held.astype(np.int64), length - 1)
    share = held - low
    high = np.minimum(low + 1, length - 1)
    return [(low, inside * (1.0 - share)), (high, inside * share * (low + 1 < length))]


@functools.lru_cache(maxsize=4)
def operator(grid: MatchingGrid, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The sampling matrix `[cells + 1, T * S]` and its transpose; column t * S + b is bin b at snippet t.

    The last row, that of all invalid cells, is empty: they hold the bias of the convolution.
    """
    first, last = grid.cells
    position = points(first, last, grid)
    cell = np.broadcast_to(np.arange(len(first))[:, None], position.shape)
    bin_ = np.broadcast_to(np.arange(position.shape[1]) // POINTS, position.shape)
    row, column, weight = [], [], []
    for snippet, share in interpolation(position, grid.length):
        used = share > 0
        row.append(cell[used])
        column.append(snippet[used] * grid.bins + bin_[used])
        weight.append(share[used] / POINTS)
    entries = (np.concatenate(row), np.concatenate(column), np.concatenate(weight))
    return sampling.assemble(*entries, (len(first) + 1, grid.length * grid.bins), dtype=dtype, device=device)


def match_and_mix(features: Tensor, weight: Tensor, bias: Tensor, grid: MatchingGrid) -> Tensor:
    """The boundary-matching layer followed by the convolution over its bins, for all cells.

    Args:
        features: `[B, P, T]`.
        weight: `[O, P, S, 1, 1]`.
        bias: `[O]`.
        grid: geometry.

    Returns:
        `[B, cells + 1, O]`, at least float32: the valid cells, then the value that all invalid cells share.

    Paper: BMN section 3.2 (boundary-matching layer).
    Differs: released code samples first; equal in exact arithmetic, without the `[P, S, T, T]` tensor.
    """
    # Sparse products do not support half precision.
    with torch.autocast(features.device.type, enabled=False):
        dtype = torch.promote_types(features.dtype, torch.float32)
        features, weight, bias = (x.to(dtype) for x in (features, weight, bias))
        batch, channels, length = features.shape
        out = weight.shape[0]
        mix = weight.view(out, channels, grid.bins).permute(1, 2, 0).reshape(channels, -1)
        columns = (features.transpose(1, 2).reshape(-1, channels) @ mix).view(batch, length * grid.bins, out)
        return sampling.apply(operator(grid, dtype, features.device), columns, bias)
