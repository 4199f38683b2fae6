import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsp.localise.maps.targets import balanced, boundary_map, iou_map, peaks, regression_loss, valid_cells
from tsp.segments import tiou


@given(st.integers(3, 30), st.integers(0, 1000))
def test_iou_map_is_the_tiou_of_its_cells(length, seed):
    rng = np.random.default_rng(seed)
    durations = int(rng.integers(1, length + 1))
    segments = np.sort(rng.random((3, 2)), axis=1)
    found = iou_map(segments, length, durations)
    for d, s in rng.integers(0, [durations, length], (5, 2)):
        expected = tiou([[s / length, (s + d + 1) / length]], segments).max() if s + d < length else 0.0
        assert found[d, s] == pytest.approx(expected, abs=1e-12)


def test_no_action_no_target():
    assert iou_map(np.zeros((0, 2)), 8, 4).shape == (4, 8)
    assert iou_map(np.zeros((0, 2)), 8, 4).max() == boundary_map(np.zeros(0), 8, cell_end=0.5).max() == 0


@pytest.mark.parametrize(("cell_end", "expected"), [(1.5, [0, 0.5, 1, 1, 0.5, 0]), (0.5, [0, 0, 1, 1, 1, 0])])
def test_boundary_region_of_three_snippets(cell_end, expected):
    np.testing.assert_allclose(boundary_map(np.array([0.5]), 10, cell_end=cell_end)[2:8], expected, atol=1e-12)


def test_the_nearest_boundary_counts():
    both = boundary_map(np.array([0.3, 0.4]), 10, cell_end=0.5)
    single = [boundary_map(np.array([p]), 10, cell_end=0.5) for p in (0.3, 0.4)]
    np.testing.assert_array_equal(both, np.maximum(*single))


def test_valid_cells():
    assert valid_cells(4, 3).astype(int).tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]


def test_a_loss_side_without_members_adds_nothing():
    p = torch.tensor([0.5, 0.5])
    all_of = torch.tensor([True, True])
    log = np.log(0.5 + 1e-6)
    assert float(balanced(p, all_of, ~all_of)) == pytest.approx(-0.5 * log)
    assert float(balanced(p, ~all_of, all_of)) == pytest.approx(-0.5 * log)
    assert float(balanced(p, ~all_of, ~all_of)) == 0


def test_regression_takes_a_small_set_whole_and_nothing_invalid():
    iou = torch.tensor([[0.8] * 10 + [0.5] * 2 + [0.1] * 3 + [0.0] * 5])
    p = iou + torch.tensor([[1.0] * 10 + [2.0] * 2 + [3.0] * 3 + [100.0] * 5])
    assert float(regression_loss(p, iou)) == pytest.approx(0.5 * (10 + 2 * 4 + 3 * 9) / 15, rel=1e-5)


def test_regression_may_count_cells_without_overlap_as_low():
    iou = torch.tensor([[0.8] * 10 + [0.5] * 2 + [0.1] * 3 + [0.0] * 5])
    p = iou + torch.tensor([[1.0] * 10 + [2.0] * 2 + [3.0] * 3 + [4.0] * 2 + [100.0] * 3])
    zero = torch.tensor([[False] * 15 + [True] * 2 + [False] * 3])
    expected = 0.5 * (10 + 2 * 4 + 3 * 9 + 2 * 16) / 17
    assert float(regression_loss(p, iou, zero)) == pytest.approx(expected, rel=1e-5)


def test_regression_without_high_cells_is_zero():
    assert float(regression_loss(torch.ones(2, 3), torch.full((2, 3), 0.5))) == 0


def test_peaks():
    scores = np.array([9.0, 1.0, 3.0, 2.0, 2.0, 6.0, 5.0, 1.0, 9.9])
    # Strictly above both neighbours (2, 5), or above half the maximum of 9.9 (5, 6); never the ends.
    assert np.nonzero(peaks(scores))[0].tolist() == [2, 5, 6]
