"""Overlap, background rules, and the map from feature index to seconds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsp.segments import background_clean, background_released, clip_seconds, feature_time, tiou

segment = st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted)


@given(st.lists(segment, max_size=6), st.lists(segment, max_size=6))
def test_tiou_is_symmetric_and_within_0_and_1(a, b):
    overlap = tiou(a, b)
    assert overlap.shape == (len(a), len(b))
    assert ((overlap >= 0) & (overlap <= 1)).all()
    np.testing.assert_array_equal(overlap, tiou(b, a).T)


def test_tiou_of_known_pairs():
    np.testing.assert_allclose(tiou([[1, 11]], [[0, 10], [2, 12], [20, 30]]), [[9 / 11, 9 / 11, 0]])


def test_zero_length_segments_overlap_nothing():
    assert tiou([[3, 3]], [[3, 3], [0, 10]]).tolist() == [[0, 0]]


def test_feature_time_is_the_centre_of_the_clip():
    assert feature_time(0, 16) == 8 / 15
    np.testing.assert_array_equal(feature_time([0, 3], 1), [8 / 15, 11 / 15])


def test_released_background_keeps_the_gap_inside_a_long_action():
    starts, ends = np.array([0.0, 10.0]), np.array([60.0, 12.0])
    assert background_released(starts, ends, 80.0, 5.0).tolist() == [[12.0, 80.0]]
    assert background_clean(starts, ends, 80.0, 5.0).tolist() == [[60.0, 80.0]]


def test_gaps_shorter_than_the_limit_are_dropped_and_equal_ones_kept():
    starts, ends = np.array([2.0, 13.0]), np.array([8.0, 20.0])
    assert background_released(starts, ends, 24.0, 5.0).tolist() == [[8.0, 13.0]]


def test_clean_background_stays_inside_the_video():
    gaps = background_clean(np.array([-5.0, 90.0]), np.array([2.0, 140.0]), 100.0, 1.0)
    assert gaps.tolist() == [[2.0, 90.0]]


@given(st.lists(segment, min_size=1, max_size=40))
def test_clean_background_touches_no_action(actions):
    times = np.array(actions)
    gaps = background_clean(times[:, 0], times[:, 1], 100.0, 0.5)
    assert tiou(gaps, times[times[:, 1] > times[:, 0]]).sum() == pytest.approx(0, abs=1e-9)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_released_order_is_a_sort(starts):
    from tsp.segments import _argsort_like_release

    order = _argsort_like_release(np.array(starts, dtype=float))
    assert sorted(order.tolist()) == list(range(len(starts)))
    assert [starts[i] for i in order] == sorted(starts)


def test_a_clip_is_16_frames_at_15_fps():
    assert clip_seconds() == 16 / 15
