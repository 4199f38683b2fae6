"""SGAlign of G-TAD as one sparse matrix, applied after the convolution that follows it.

Aligning samples features at fixed points and the 1x1 convolution behind it mixes channels: both are linear, so their
order is free. Mixing first leaves S columns per snippet to sample instead of C x S per cell, and the samples of all
cells are one constant sparse matrix, built once per grid.

T snippets, D durations, S samples of a cell (inner, then context), O outputs of the convolution, cell (d, s).
"""

import functools
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsp.localise.boundary import valid_cells


@dataclass(frozen=True)
class Grid:
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
    def cells(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Durations and starts of the valid cells."""
        d, s = np.nonzero(valid_cells(self.length, self.durations))
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
def operator(grid: Grid, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The alignment A `[cells + 1, S * T]` and its transpose, sparse; column j * T + t is sample j at snippet t."""
    n, width = len(grid.rois), (grid.inner + grid.context) * grid.length
    rows, columns, weights = [], [], []
    for bins, offset in ((grid.inner, 0), (grid.context, grid.inner)):
        roi, sample, snippet, weight = roi_align(grid.rois, bins, grid.length) if bins else (np.zeros(0, int),) * 4
        rows.append(roi)
        columns.append((offset + sample) * grid.length + snippet)
        weights.append(weight)
    index = torch.from_numpy(np.stack([np.concatenate(rows), np.concatenate(columns)]))
    a = torch.sparse_coo_tensor(index, torch.from_numpy(np.concatenate(weights)), (n, width)).coalesce()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return tuple(m.to(dtype).to_sparse_csr().to(device) for m in (a, a.t().coalesce()))  # type: ignore[return-value]


class _Apply(torch.autograd.Function):
    """A @ x with the transpose at hand, so that the backward pass is a product too, in a fixed order of sums."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, a: Tensor, a_t: Tensor, x: Tensor) -> Tensor:
        ctx.a_t = a_t  # type: ignore[attr-defined]
        return a @ x

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.a_t @ grads[0].contiguous()  # type: ignore[attr-defined]


def align_and_mix(features: Tensor, context: Tensor, weight: Tensor, bias: Tensor, grid: Grid) -> Tensor:
    """SGAlign followed by the 1x1 convolution over its samples, for all cells.

    Args:
        features: `[B, C, T]`.
        context: `[B, C, T]` means over each snippet's graph neighbours.
        weight: `[O, C * S, 1, 1]`, input channel c * S + j for channel c and sample j.
        bias: `[O]`.
        grid: geometry.

    Returns:
        `[B, O, cells + 1]`: the valid cells, then the value that all invalid cells share.

    Paper: G-TAD section 3.3 (SGAlign).
    Differs: released code aligns first; equal in exact arithmetic, without the `[C * S, D, T]` tensor.
    """
    batch, channels, length = features.shape
    out, samples = weight.shape[0], grid.inner + grid.context
    mix = weight.view(out, channels, samples).permute(0, 2, 1)
    inner = torch.einsum("ojc,bct->ojtb", mix[:, : grid.inner], features)
    outer = torch.einsum("ojc,bct->ojtb", mix[:, grid.inner :], context)
    mixed = torch.cat([inner, outer], dim=1).permute(1, 2, 3, 0).reshape(samples * length, batch * out)
    a, a_t = operator(grid, features.dtype, features.device)
    aligned = _Apply.apply(a, a_t, mixed)
    return aligned.view(-1, batch, out).permute(1, 2, 0) + bias.view(1, -1, 1)  # type: ignore[no-any-return]


def to_map(cells: Tensor, grid: Grid) -> Tensor:
    """`[B, O, cells + 1]` to `[B, O, D, T]`, the shared value in every invalid cell."""
    valid = torch.from_numpy(valid_cells(grid.length, grid.durations)).to(cells.device)
    index = torch.full(valid.shape, cells.shape[-1] - 1, dtype=torch.int64, device=cells.device)
    index[valid] = torch.arange(cells.shape[-1] - 1, device=cells.device)
    return cells[..., index.flatten()].view(*cells.shape[:2], *valid.shape)
