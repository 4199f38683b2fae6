"""Frames of clips: values worked out by hand, and properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsp.video.clips import clip_frames, extraction_frames, extraction_starts, n_sampled, sampled_frames, training_start

RATES = st.sampled_from([5.0, 10.0, 12.5, 15.0, 24000 / 1001, 25.0, 30000 / 1001, 30.0, 60.0])


def test_every_second_frame_at_30_fps():
    assert clip_frames(0.0, 30.0).tolist() == list(range(0, 32, 2))
    assert clip_frames(1.05, 30.0).tolist() == list(range(31, 63, 2))


def test_fractions_at_25_fps():
    # q = 5/3: 0, 1.67, 3.33, 5, 6.67 ...
    assert clip_frames(2.0, 25.0, clip_length=6).tolist() == [50, 51, 53, 55, 56, 58]


def test_slow_videos_repeat_frames():
    assert clip_frames(0.0, 10.0, clip_length=6).tolist() == [0, 0, 1, 2, 2, 3]


@given(st.integers(0, 100_000), RATES)
def test_a_start_on_a_frame_is_that_frame(frame, fps):
    assert clip_frames(frame / fps, fps)[0] == frame


def test_released_time_stamps_may_lag_by_one_frame():
    # k/30 s is 512 k ticks of 1/15360 s; rounding puts some of them just below.
    ours = np.array([clip_frames(k / 30, 30.0)[0] for k in range(3000)])
    theirs = np.array([clip_frames(k / 30, 30.0, released_timestamps=True)[0] for k in range(3000)])
    lag = ours - theirs
    assert set(lag.tolist()) <= {0, 1}
    assert 0 < lag.sum() < 1500
    below = [int(np.floor((k / 30) * 15360.0)) < 512 * k for k in range(3000)]
    np.testing.assert_array_equal(lag == 1, below)


@pytest.mark.parametrize(
    ("start_s", "first"),
    # Two starts of official validation clips where dividing by 1 / 15360 gives the frame before or after, and another.
    [(42.699999999999996, 1280), (353.09999999999997, 10592), (44.199999999999996, 1325)],
)
def test_released_time_stamps_are_products(start_s, first):
    assert math.floor(start_s * 15360.0) * 30 // 15360 == first
    assert clip_frames(start_s, 30.0, released_timestamps=True)[0] == first


@pytest.mark.parametrize(("stride", "frames", "moved", "first_moved"), [(16, 40_000, 22, 3936), (1, 40_000, 404, 246)])
def test_released_time_stamps_in_extraction(stride, frames, moved, first_moved):
    """tsp.md 3.3: of 1,250 multiples of 32 frames and of 20,000 even frames below 40,000."""
    count = frames // (2 * stride)
    frames += 2 * 15  # so that the last start has a whole clip
    ours = extraction_frames(frames, 30.0, stride)[:count]
    theirs = extraction_frames(frames, 30.0, stride, released_timestamps=True)[:count]
    assert len(ours) == count
    apart = ours - theirs
    assert ((apart == apart[:, :1]).all(), set(apart[:, 0].tolist())) == (True, {0, 1})
    assert apart[:, 0].sum() == moved
    assert ours[apart[:, 0] == 1][0, 0] == first_moved


def test_between_frames_both_time_stamp_rules_agree():
    starts = (np.arange(200) + 0.5) / 30
    for start in starts:
        ours, theirs = clip_frames(start, 30.0), clip_frames(start, 30.0, released_timestamps=True)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("frames", "fps", "expected"),
    [(61, 30.0, 31), (60, 30.0, 30), (60, 15.0, 60), (25, 25.0, 15), (24, 25.0, 14), (10, 10.0, 15), (0, 30.0, 0)],
)
def test_frames_at_the_clips_rate(frames, fps, expected):
    assert n_sampled(frames, fps) == expected == len(sampled_frames(frames, fps))


def test_clips_of_a_short_video_by_hand():
    # 67 frames at 30 fps are 34 at 15 fps: clips start at sampled frames 0, 8 and 16, that is 0, 16 and 32.
    found = extraction_frames(67, 30.0, 8)
    assert found.tolist() == [list(range(k, k + 32, 2)) for k in (0, 16, 32)]


@pytest.mark.parametrize(("frames", "n"), [(30, 0), (31, 1), (32, 1), (33, 2)])
def test_shortest_video_that_holds_a_clip(frames, n):
    assert extraction_frames(frames, 30.0, 1).shape == (n, 16)
    assert len(extraction_starts(frames, 30.0, 16)) == min(n, 1)


@given(st.integers(0, 2000), RATES, st.integers(1, 40), st.integers(1, 32))
def test_clips_stay_in_the_video_and_keep_their_stride(frames, fps, stride, length):
    found = extraction_frames(frames, fps, stride, length)
    n = n_sampled(frames, fps)
    assert len(found) == (0 if n < length else (n - length) // stride + 1)
    if len(found):
        assert found.min() == 0
        assert found.max() < frames
        np.testing.assert_array_equal(found[:, 0], sampled_frames(frames, fps)[np.arange(len(found)) * stride])
        assert (np.diff(found, axis=1) >= 0).all()


def test_training_clips_reach_from_start_to_end():
    assert training_start((2.0, 5.0), 0.0) == 2.0
    assert training_start((2.0, 5.0), 1.0) == pytest.approx(5.0 - 16 / 15)
    assert training_start((2.0, 5.0), 0.5, clip_s=1.0) == 3.0
