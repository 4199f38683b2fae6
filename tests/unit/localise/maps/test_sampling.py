"""Constant sampling matrices."""

import numpy as np
import torch

from tsp.localise.maps.sampling import assemble

CPU = torch.device("cpu")


def test_duplicates_are_summed_in_the_order_given():
    """Thirty entries a place, whose sum in another order differs in the last bits."""
    rng = np.random.default_rng(0)
    row, column = rng.integers(0, 3, 900), rng.integers(0, 10, 900)
    weight = rng.random(900) * 10.0 ** rng.integers(-8, 8, 900)
    expected = np.zeros((3, 12))
    for r, c, w in zip(row, column, weight, strict=True):
        expected[r, c] += w
    a, transpose = assemble(row, column, weight, (3, 12), dtype=torch.float64, device=CPU)
    assert a.layout == transpose.layout == torch.sparse_csr
    np.testing.assert_array_equal(a.to_dense(), expected)
    np.testing.assert_array_equal(transpose.to_dense(), expected.T)
    backwards = assemble(row[::-1], column[::-1], weight[::-1], (3, 12), dtype=torch.float64, device=CPU)[0]
    assert not np.array_equal(backwards.to_dense(), expected)


def test_rows_and_columns_are_in_order_and_may_be_empty():
    a, transpose = assemble(
        np.array([2, 0]), np.array([1, 3]), np.array([0.5, 0.25]), (4, 5), dtype=torch.float32, device=CPU
    )
    assert a.crow_indices().tolist() == [0, 1, 1, 2, 2]
    assert a.col_indices().tolist() == [3, 1]
    assert (a.dtype, a.shape, transpose.shape) == (torch.float32, (4, 5), (5, 4))
    assert transpose.crow_indices().tolist() == [0, 0, 1, 1, 2, 2]
