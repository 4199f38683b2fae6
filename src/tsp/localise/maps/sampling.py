"""Constant sampling matrices: sparse on the CPU, dense on a GPU; products with gradients, maps from cells.

B batch, R rows, n cells, O columns.
"""

import functools
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

# Columns of a sparse product on the CPU: with more, the operand leaves the cache and takes five times as long.
WIDTH = 32
Ints = NDArray[np.int64]


def assemble(
    row: Ints,
    column: Ints,
    weight: NDArray[Any],
    shape: tuple[int, int],
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """The matrix of the summed entries, and its transpose.

    Args:
        row, column, weight: entries in any order; duplicates are summed.
        shape: rows and columns.
        dtype: of the matrix.
        device: on a CPU both are sparse; on a GPU dense, where the product is fast enough and sums in a fixed order.
    """
    # SciPy's sort is not stable, and the order of summing duplicates decides their last bits.
    order = np.lexsort((column, row))
    entries = sparse.csr_array((weight[order], (row[order], column[order])), shape)
    matrix = _csr(entries, dtype)
    if device.type != "cpu":
        dense = matrix.to_dense().to(device)
        return dense, dense.t()
    return matrix, _csr(entries.T.tocsr(), dtype)


def _csr(rows: sparse.csr_array, dtype: torch.dtype) -> Tensor:
    starts, columns = (torch.from_numpy(part.astype(np.int64)) for part in (rows.indptr, rows.indices))
    values = torch.from_numpy(rows.data).to(dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, size=rows.shape, check_invariants=True)


def _product(a: Tensor, x: Tensor) -> Tensor:
    """A `[n, R]` times each `[R, O]` of `x` `[B, R, O]`."""
    if a.layout != torch.sparse_csr:
        return a @ x
    out = x.new_empty(x.shape[0], a.shape[0], x.shape[2])
    for b in range(x.shape[0]):
        for at in range(0, x.shape[2], WIDTH):
            out[b, :, at : at + WIDTH] = a @ x[b, :, at : at + WIDTH].contiguous()
    return out


class _Apply(torch.autograd.Function):
    """A @ x with a stored transpose, so that the backward pass is a product too, in a fixed order of sums."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, a_t: Tensor, x: Tensor, bias: Tensor) -> Tensor:
        ctx.a_t = a_t
        return _product(a, x).add_(bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor, Tensor]:
        return None, None, _product(ctx.a_t, grads[0]), grads[0].sum((0, 1))


def apply(matrix: tuple[Tensor, Tensor], x: Tensor, bias: Tensor) -> Tensor:
    """`A x + bias` for each `[R, O]` of `x` `[B, R, O]`: `[B, n, O]`.

    Args:
        matrix: `assemble`'s.
        x: columns to sample.
        bias: `[O]`.
    """
    return _Apply.apply(*matrix, x, bias)  # type: ignore[no-any-return]


class _ToMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cells: Tensor, index: Tensor, outside: Tensor) -> Tensor:
        ctx.save_for_backward(index, outside)
        columns = cells.transpose(1, 2)
        flat = columns[..., -1:].expand(-1, -1, len(outside)).contiguous()
        return flat.index_copy_(2, index, columns[..., :-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        index, outside = ctx.saved_tensors
        (grad,) = grads
        out = grad.new_empty(grad.shape[0], len(index) + 1, grad.shape[1])
        out[:, :-1] = grad.transpose(1, 2)[:, index]
        out[:, -1] = grad @ outside.to(grad.dtype)
        return out, None, None


def to_map(cells: Tensor, valid: NDArray[np.bool_]) -> Tensor:
    """Lay the cells out as a map.

    Args:
        cells: `[B, n + 1, O]`: the valid cells in the map's order, then the value that all invalid cells share.
        valid: `[rows, columns]`, n of them True.

    Returns:
        `[B, O, rows, columns]`.
    """
    flat = _ToMap.apply(cells, *_places(valid.tobytes(), cells.device))
    return flat.view(cells.shape[0], -1, *valid.shape)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=8)
def _places(valid: bytes, device: torch.device) -> tuple[Tensor, Tensor]:
    """Positions of the valid cells, and the mask of the others; kept, because making them stops a GPU."""
    mask = np.frombuffer(valid, dtype=np.bool_)
    return torch.from_numpy(np.flatnonzero(mask)).to(device), torch.from_numpy(~mask).to(device)


def probability(logits: Tensor) -> Tensor:
    """Sigmoid in single precision or better: in bfloat16 all above 0.998 is 1, where the loss has no gradient."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid()


def pointwise(layer: nn.Module, cells: Tensor) -> Tensor:
    """A 1x1 convolution on channels-last cells `[..., C]`."""
    weight, bias = layer.parameters()
    return nn.functional.linear(cells, weight.flatten(1), bias)
