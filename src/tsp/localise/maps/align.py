"""SGAlign of G-TAD as one constant matrix, applied after the convolution that follows it.

Aligning samples features at fixed points and the 1x1 convolution after it mixes channels: both are linear, so they
commute. Mixing first leaves S columns per snippet to sample instead of C x S per cell, and the samples of all
cells are one constant sparse matrix, built once per grid.

T snippets, D durations, S samples of a cell (inner, then context), O outputs of the convolution, cell (d, s).
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsp.localise.maps import sampling
from tsp.localise.maps.targets import valid_cells


@dataclass(frozen=True)
class AlignmentGrid:
    """The geometry of the map.

    Args:
        length: T.
        durations: D.
        inner: samples of the segment itself.
        context: samples of the neighbour means.
        expand: share of the duration added on each side.
    """

    length: int
    durations: int
    inner: int
    context: int
    expand: float

    @property
    def valid(self) -> NDArray[np.bool_]:
        """`[D, T]`: cells that are segments of the video."""
        return valid_cells(self.length, self.durations)

    @property
    def cells(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Durations and starts of the valid cells."""
        d, s = np.nonzero(self.valid)
        return d, s

    @property
    def rois(self) -> NDArray[np.float64]:
        """`[cells + 1, 2]` sampled ranges of the valid cells, then the range [0, 0] that all invalid cells share."""
        d, s = self.cells
        margin = self.expand * (d + 1)
        return np.concatenate([np.stack([s - margin, s + d + margin], axis=1), [[0.0, 0.0]]])


def roi_align(rois: NDArray[np.float64], bins: int, length: int) -> tuple[NDArray[np.int64], ...]:
    """Weights of a one-dimensional RoI align: bin p of RoI r is the sum of `weight` x[t] over its entries.

    A RoI is at least 1 long. Each bin is the mean of g = ceil(RoI length / bins) midpoints; a point is interpolated
    linearly between snippets, held on [-1, 0] and [T - 1, T], and 0 beyond.

    Args:
        rois: `[R, 2]` in snippets.
        bins: samples of a RoI.
        length: T.

    Returns:
        roi, bin, snippet (int64) and weight (float64) of every entry.
    """
    size = np.maximum(rois[:, 1] - rois[:, 0], 1.0)
    points = np.ceil(size / bins).astype(np.int64)
    entries = []
    for g in np.unique(points):
        r = np.nonzero(points == g)[0]
        width = (size[r] / bins)[:, None, None]
        p, q = np.arange(bins)[None, :, None], np.arange(g)[None, None, :]
        t = rois[r, 0][:, None, None] + p * width + (q + 0.5) * width / g
        inside = (t >= -1) & (t <= length)
        t = np.maximum(t, 0.0)
        low = np.minimum(t.astype(np.int64), length - 1)
        share = np.where(low >= length - 1, 0.0, t - low)
        high = np.minimum(low + 1, length - 1)
        roi = np.broadcast_to(r[:, None, None], t.shape)
        sample = np.broadcast_to(p, t.shape)
        for snippet, weight in ((low, 1.0 - share), (high, share)):
            used = inside & (weight > 0)
            entries.append((roi[used], sample[used], snippet[used], weight[used] / g))
    return tuple(np.concatenate(column) for column in zip(*entries, strict=True))


@functools.lru_cache(maxsize=4)
def operator(grid: AlignmentGrid, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The alignment A `[cells + 1, T * S]` and its transpose; column t * S + j is sample j at snippet t.

    Sparse on the CPU (3 % and 15 % of the entries are not zero); dense on a GPU, where the product is fast enough and
    sums in a fixed order.
    """
    samples = grid.inner + grid.context
    rows, columns, weights = [], [], []
    for bins, offset in ((grid.inner, 0), (grid.context, grid.inner)):
        if bins:
            roi, sample, snippet, weight = roi_align(grid.rois, bins, grid.length)
            rows.append(roi)
            columns.append(snippet * samples + offset + sample)
            weights.append(weight)
    entries = (np.concatenate(rows), np.concatenate(columns), np.concatenate(weights))
    return sampling.assemble(*entries, (len(grid.rois), grid.length * samples), dtype=dtype, device=device)


def align_and_mix(features: Tensor, context: Tensor, weight: Tensor, bias: Tensor, grid: AlignmentGrid) -> Tensor:
    """SGAlign followed by the 1x1 convolution over its samples, for all cells.

    Args:
        features: `[B, C, T]`.
        context: `[B, C, T]` means over each snippet's graph neighbours.
        weight: `[O, C * S, 1, 1]`, input channel c * S + j for channel c and sample j.
        bias: `[O]`.
        grid: geometry.

    Returns:
        `[B, cells + 1, O]`, at least float32: the valid cells, then the value that all invalid cells share.

    Paper: G-TAD section 3.3 (SGAlign).
    Differs: released code aligns first; equal in exact arithmetic, without the `[C * S, D, T]` tensor.
    """
    # Sparse products do not support half precision.
    with torch.autocast(features.device.type, enabled=False):
        dtype = torch.promote_types(features.dtype, torch.float32)
        features, context, weight, bias = (x.to(dtype) for x in (features, context, weight, bias))
        batch, channels, length = features.shape
        out, samples = weight.shape[0], grid.inner + grid.context
        mix = weight.view(out, channels, samples).permute(1, 2, 0)
        mixed = [
            x.transpose(1, 2) @ part.reshape(channels, -1)
            for x, part in ((features, mix[:, : grid.inner]), (context, mix[:, grid.inner :]))
        ]
        # [B, T, S * O] to [B, T * S, O]
        columns = torch.cat(mixed, dim=2).view(batch, length * samples, out)
        return sampling.apply(operator(grid, dtype, features.device), columns, bias)


def to_map(cells: Tensor, grid: AlignmentGrid) -> Tensor:
    """`[B, cells + 1, O]` to `[B, O, D, T]`, the shared value in every invalid cell."""
    return sampling.to_map(cells, grid.valid)
