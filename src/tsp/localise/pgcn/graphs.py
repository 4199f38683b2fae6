"""Graphs over the proposals of a video: neighbour slots, their sampling, and the graph network.

n proposals (nodes), S slots of a node, R roots, c children of a node, F features of a node.
"""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

Ints = NDArray[np.int64]
CONTEXTUAL, SURROUNDING = 8, 2
# Rows processed at a time: their tables stay in the cache.
ROWS = 64
SMALLEST_NORM = 1e-8


def neighbour_slots(segments: ArrayLike, above: float = 0.7) -> Ints:
    """The ten neighbours of every proposal of a video.

    Eight contextual slots: the others with tIoU above `above`, best first, repeated cyclically if fewer. Two
    surrounding slots: the nearest without overlap, repeated if there is only one. Without any, the node itself. Ties:
    the smaller index first.

    Args:
        segments: `[n, 2]` first and last frame, integers.
        above: threshold on the tIoU, counted in frames (end - start + 1).

    Returns:
        `[n, 10]`.

    Paper: P-GCN section 3.1 (graph construction); its bound on the distance never excludes a node.
    Differs: released code excludes the first node of largest tIoU, which is a different one if segments repeat; and
        ranks by an unstable sort.
    """
    frames = np.asarray(segments, np.float64).reshape(-1, 2)
    start, stop = frames[:, 0], frames[:, 1] + 1
    n = len(frames)
    slots = np.repeat(np.arange(n)[:, None], CONTEXTUAL + SURROUNDING, axis=1)
    for low in range(0, n, ROWS):
        rows = slice(low, min(low + ROWS, n))
        hull = np.maximum(stop[rows, None], stop) - np.minimum(start[rows, None], start)
        # The lengths of two segments exceed their hull by their overlap.
        overlap = (stop - start)[rows, None] + (stop - start) - hull
        _contextual(slots[rows, :CONTEXTUAL], overlap, hull, above, low)
        if n > 1:
            apart = np.abs((start + stop)[rows, None] - (start + stop))
            _surrounding(slots[rows, CONTEXTUAL:], apart, overlap, hull)
    return slots


def _contextual(slots: Ints, overlap: NDArray[np.float64], hull: NDArray[np.float64], above: float, first: int) -> None:
    # A slightly lower bound without division selects the few pairs that need it.
    near = overlap > (above - 1e-9) * hull
    near[np.arange(len(near)), np.arange(first, first + len(near))] = False
    row, other = np.divmod(np.flatnonzero(near), near.shape[1])
    value = overlap[row, other] / hull[row, other]
    kept = (value > above) & (value > 0)
    row, other, value = row[kept], other[kept], value[kept]
    order = np.lexsort((-value, row))
    row, other = row[order], other[order]
    begin, end = np.searchsorted(row, np.arange(len(slots))), np.searchsorted(row, np.arange(len(slots)), "right")
    count = end - begin
    some = count > 0
    turn = np.arange(CONTEXTUAL) % np.maximum(count, 1)[:, None]
    slots[some] = other[(begin[:, None] + turn)[some]]


def _surrounding(
    slots: Ints, apart: NDArray[np.float64], overlap: NDArray[np.float64], hull: NDArray[np.float64]
) -> None:
    every = np.arange(len(slots))
    np.divide(apart, 2 * hull, out=apart)
    apart[(overlap > 0) | (apart <= 0)] = np.inf
    nearest = apart.argmin(1)
    some = np.isfinite(apart[every, nearest])
    apart[every, nearest] = np.inf
    second = apart.argmin(1)
    second = np.where(np.isfinite(apart[every, second]), second, nearest)
    slots[some] = np.stack([nearest, second], axis=1)[some]


def expand(roots: Ints, slots: Ints, children: int, rng: np.random.Generator) -> Ints:
    """Draw the neighbourhood of roots: children of the root, and children of each of these.

    Args:
        roots: `[R]` nodes.
        slots: `[n, S]`.
        children: c, slots of a node drawn without replacement, independently at every node.
        rng: of the sample.

    Returns:
        `[R, 1 + c + c * c]`: root, its children, then the children of each child in turn.

    Paper: P-GCN section 3.2 (efficient training by sampling).
    """
    draws = rng.random((len(roots), 1 + children, slots.shape[1])).argsort(2)[..., :children]
    first = np.take_along_axis(slots[roots], draws[:, 0], axis=1)
    second = np.take_along_axis(slots[first], draws[:, 1:], axis=2)
    return np.concatenate([roots[:, None], first, second.reshape(len(roots), children * children)], axis=1)


def edge_weights(nodes: Tensor, others: Tensor) -> Tensor:
    """Cosine of nodes `[..., F]` and their neighbours `[..., k, F]`, negative ones 0: `[..., k]`; no gradient."""
    with torch.no_grad():
        dots = torch.einsum("...f,...kf->...k", nodes, others)
        norms = nodes.norm(dim=-1).clamp_min(SMALLEST_NORM)[..., None] * others.norm(dim=-1).clamp_min(SMALLEST_NORM)
        return functional.relu(dots / norms)


class GraphNetwork(nn.Module):
    """Two graph layers A (X W) + b, with ReLU and dropout between them.

    The features are inputs, so the adjacency A is a constant; only the root's row of the second layer is read and
    only the rows of the root and its children in the first one are other than 0, so nothing else is computed.

    Args:
        features: F.
        hidden: width between the layers.
        dropout: share of the hidden units.

    Paper: P-GCN section 3.2, equation 3.
    """

    def __init__(self, features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.weight1, self.bias1 = nn.Parameter(torch.empty(features, hidden)), nn.Parameter(torch.empty(hidden))
        self.weight2, self.bias2 = nn.Parameter(torch.empty(hidden, features)), nn.Parameter(torch.empty(features))
        self.dropout = nn.Dropout(dropout)
        for weight, bias in ((self.weight1, self.bias1), (self.weight2, self.bias2)):
            bound = 1 / math.sqrt(weight.shape[1])
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Roots with their drawn neighbourhoods `[R, 1 + c + c * c, F]` to `[R, F]`."""
        roots, nodes, features = x.shape
        children = (math.isqrt(4 * nodes - 3) - 1) // 2
        inner, outer = x[:, : 1 + children], x[:, 1:].reshape(roots, 1 + children, children, features)
        edges = edge_weights(inner, outer) / children
        with torch.no_grad():
            mixed = inner + torch.einsum("rsk,rskf->rsf", edges, outer)
        hidden = self._hidden(mixed @ self.weight1)
        root = hidden[:, 0] + torch.einsum("rk,rkh->rh", edges[:, 0], hidden[:, 1:])
        return root @ self.weight2 + self.bias2

    def whole(self, x: Tensor, slots: Tensor) -> Tensor:
        """Every node with all its slots, each of weight 1 / S: `[n, F]` and `[n, S]` to `[n, F]`.

        Every hidden vector is computed once, even if it is in many neighbourhoods.
        """
        edges = torch.cat([edge_weights(x[i], x[slots[i]]) for i in torch.arange(len(x), device=x.device).split(ROWS)])
        edges = edges / slots.shape[1]
        hidden = self._hidden(_gathered(x @ self.weight1, edges, slots))
        return _gathered(hidden, edges, slots) @ self.weight2 + self.bias2

    def _hidden(self, mixed: Tensor) -> Tensor:
        hidden: Tensor = self.dropout(functional.relu(mixed + self.bias1))
        return hidden


def _gathered(x: Tensor, edges: Tensor, slots: Tensor) -> Tensor:
    """Each row and its neighbours' rows, weighted."""
    return x + torch.einsum("ns,nsh->nh", edges, x[slots])
