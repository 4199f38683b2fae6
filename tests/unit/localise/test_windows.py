from dataclasses import replace

import numpy as np
import pytest
import torch
from unit.localise.make import METHODS

from tsp.errors import TspError
from tsp.features.resample import resample_time
from tsp.localise.nms import Suppression, soft_nms
from tsp.localise.windows import (
    Window,
    Windows,
    action_frames,
    cut,
    frame_facts,
    merge,
    snippets,
    window_labels,
    window_starts,
)
from tsp.segments import tiou
from tsp.types import Segment, Video

RELEASED = Windows()


def video(*spans, duration_s=None, **extra):
    segments = tuple(Segment(start_s=a, end_s=b, label="x") for a, b in spans)
    kind = {"subset": "test", "duration_s": duration_s, "segments": segments, "extra": extra}
    return Video(name="x", filename="x.mp4", **kind)


@pytest.mark.parametrize(
    ("n", "starts"),
    [
        (1, [0]), (255, [0]), (256, [0]), (307, [0]),
        # A fifth of a window, 51 snippets, may be left over.
        (308, [0, 52]), (384, [0, 128]), (435, [0, 128]), (436, [0, 128, 180]), (512, [0, 128, 256]),
    ],
)  # fmt: skip
def test_windows_of_a_video(n, starts):
    assert window_starts(n, 256, RELEASED).tolist() == starts


@pytest.mark.parametrize("n", [257, 300, 384, 385, 511])
def test_the_whole_video_may_be_covered(n):
    starts = window_starts(n, 256, replace(RELEASED, tail="covered"))
    assert starts[0] == 0
    assert starts[-1] + 256 == n
    assert (np.diff(starts) <= 128).all()


def test_short_videos_are_padded_with_zeros():
    found = cut(np.ones((3, 2), np.float32), np.array([0]), 5)
    assert found.tolist() == [[[1, 1, 1, 0, 0]] * 2]


def test_snippets_are_every_fifth_of_the_interpolated_frames():
    rows = np.random.default_rng(0).normal(size=(37, 3)).astype(np.float32)
    whole = torch.nn.functional.interpolate(torch.from_numpy(rows.T)[None], 101, mode="linear")[0].T.numpy()
    found = snippets(rows, 102, RELEASED, align_corners=False)
    assert found.shape == (21, 3)
    np.testing.assert_allclose(found, whole[::5], atol=1e-5)
    np.testing.assert_array_equal(found, resample_time(rows, 101)[::5])


def test_frames_and_rate_of_a_video():
    facts = {"stride": 1, "fps": 15, "clip_length": 16}
    assert frame_facts(video(frame_rate=25.0, frames=500), 10, {}, RELEASED) == (25.0, 500)
    assert frame_facts(video(duration_s=10.0, frame_rate=25.0), 10, {}, RELEASED) == (25.0, 250)
    # 135 clips of 16 frames, one after the other: 150 frames at 15 fps.
    assert frame_facts(video(), 135, facts, RELEASED) == (30.0, 300)
    with pytest.raises(TspError, match="states its duration"):
        frame_facts(video(), 135, {}, RELEASED)


def test_actions_in_frames():
    stated = video((1, 2), segment_frames=[[31, 62]], ambiguous_frames=[[5, 7]])
    assert action_frames(stated, 30.0, RELEASED).tolist() == [[31, 62], [5, 7]]
    assert action_frames(stated, 30.0, replace(RELEASED, ambiguous=False)).tolist() == [[31, 62]]
    assert action_frames(video((1, 2)), 25.0, RELEASED).tolist() == [[25, 50]]
    assert action_frames(video(), 25.0, RELEASED).shape == (0, 2)


def labels(first, windows=RELEASED):
    # Snippets 0 to 255: frames -2.5 to 1277.5; from snippet 128: 637.5 to 1917.5.
    annotated = video((0, 1), (0, 1), (0, 1), segment_frames=[[100, 200], [1270, 1290], [3000, 3100]])
    return window_labels(annotated, Window(first=first, fps=30.0, frames=4000), 256, windows)


def test_labels_of_a_window():
    found = labels(0)
    # 1270 to 1277.5 of 1270 to 1290 is inside; both are kept whole. Labels count from frame -2 here.
    np.testing.assert_allclose(found.segments, [[102 / 1280, 202 / 1280], [1272 / 1280, 1.0]])
    np.testing.assert_allclose(found.boundaries, np.array([[100, 200], [1270, 1290]]) / 1280)
    assert found.covered == 1


def test_labels_count_from_three_frames_before_later_windows():
    found = labels(128)
    np.testing.assert_allclose(found.segments, [[(1270 - 637) / 1280, (1290 - 637) / 1280]])
    repaired = labels(128, replace(RELEASED, label_zero="snippet"))
    np.testing.assert_allclose(repaired.segments, [[(1270 - 640) / 1280, (1290 - 640) / 1280]])


def test_actions_may_be_cut_at_the_border():
    np.testing.assert_allclose(labels(0, replace(RELEASED, clip=True)).boundaries[1], [1270 / 1280, 1277.5 / 1280])


def test_a_window_beside_all_actions():
    found = labels(300)
    assert found.segments.shape == found.boundaries.shape == (0, 2)
    assert found.covered == 0


def test_share_of_an_action_decides_which_windows_are_learnt_from():
    annotated = video((0, 1), segment_frames=[[1257, 1297]])
    found = window_labels(annotated, Window(first=0, fps=30.0, frames=4000), 256, RELEASED)
    assert found.covered == pytest.approx((1277.5 - 1257) / 40)


@pytest.mark.parametrize("name", METHODS)
def test_boundaries_are_marked_where_they_are_and_not_where_the_window_ends(name):
    method, config = METHODS[name]
    segments, boundaries = np.array([[0.5, 1.0]]), np.array([[0.5, 1.5]])
    clamped = method.targets(segments, config)
    found = method.targets(segments, config, boundaries)
    assert (found["iou"] == clamped["iou"]).all()
    assert clamped["end"].max() > 0.5
    assert found["end"].max() == 0


def test_windows_are_suppressed_alone_and_then_together():
    first, second = (Window(first=at, fps=30.0, frames=1000) for at in (0, 8))
    grid = np.array([[0, 4], [1, 5], [2, 12], [14, 15]]) / 16
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    rule, windows = Suppression(divisor=0.46, keep=3), replace(RELEASED, longest_frames=None)
    segments, found = merge([(first, (grid, scores)), (second, (grid, 0.5 * scores))], 16, windows, rule)
    frames = [grid * 16 * 5, grid * 16 * 5 + 40]
    alone = [soft_nms(f, s, divisor=0.46, keep=3) for f, s in zip(frames, (scores, 0.5 * scores), strict=True)]
    joined = [np.concatenate(parts) for parts in zip(*alone, strict=True)]
    expected = soft_nms(*joined, divisor=0.46, keep=3)
    np.testing.assert_array_equal(segments, expected[0] / 30)
    np.testing.assert_array_equal(found, expected[1])


def test_long_segments_score_nothing_and_ends_are_those_of_the_video():
    window = Window(first=0, fps=10.0, frames=200)
    grid = np.array([[0, 60], [0, 59], [30, 50], [90, 91]]) / 100
    rule = Suppression(divisor=0.46, keep=9)
    segments, scores = merge([(window, (grid, np.array([0.9, 0.8, 0.7, 0.1])))], 100, RELEASED, rule)
    # 60 snippets are 300 frames.
    assert segments[0].tolist() == [0.0, 20.0]
    assert (scores[0], segments[1, 0]) == (0.8, 15.0)
    # Each suppression keeps its last candidate back: the one without score, then [90, 91].
    assert len(scores) == 2


def released_segments(grid, scores, length, frames, fps):
    """G-TAD's released output for a video of one window, written from its description: only ends are clipped."""
    rows = 5 * np.rint(grid * length)
    scores = np.where(rows[:, 1] - rows[:, 0] >= 300, 0.0, scores)
    for _ in range(2):
        rows, scores = soft_nms(rows, scores, divisor=0.46, keep=200)
    return np.stack([np.maximum(rows[:, 0], 0), np.minimum(rows[:, 1], frames)], axis=1) / fps, scores


def test_segments_in_the_padding_of_a_short_video():
    """As released, but for starts behind the video: they are clipped to its end. Not one detection counts otherwise."""
    length, frames, fps = 64, 103, 25.0
    starts, ends = np.nonzero(np.triu(np.ones((length, length)), 1))
    grid = np.stack([starts, ends], axis=1) / length
    scores = np.random.default_rng(0).uniform(0.01, 1, len(grid))
    piece = (Window(first=0, fps=fps, frames=frames), (grid, scores))
    segments, found = merge([piece], length, RELEASED, Suppression(divisor=0.46, keep=200))
    theirs, their_scores = released_segments(grid, scores, length, frames, fps)
    np.testing.assert_array_equal(found, their_scores)
    np.testing.assert_array_equal(segments[:, 1], theirs[:, 1])
    behind = theirs[:, 0] > frames / fps
    assert 50 < behind.sum() < 190
    np.testing.assert_array_equal(segments[~behind], theirs[~behind])
    assert (segments[behind] == frames / fps).all()
    assert (theirs[behind, 1] < theirs[behind, 0]).all()
    actions = np.array([[0.0, frames / fps], [3.0, frames / fps], [1.0, 2.0]])
    np.testing.assert_array_equal(tiou(segments, actions), tiou(theirs, actions))


def test_thresholds_of_the_suppression_grow_with_the_share_of_the_window():
    """tIoU 0.7: above 0.5 + 0.4 x 0.1, not above 0.5 + 0.4 x 1."""
    window = Window(first=0, fps=10.0, frames=10_000)
    rule, windows = Suppression(divisor=0.4, keep=3, above=(0.5, 0.9)), replace(RELEASED, longest_frames=None)
    scores = np.array([0.9, 0.8, 0.1, 0.1])
    long = merge([(window, (np.array([[0, 100], [0, 70], [0, 0], [0, 0]]) / 100, scores))], 100, windows, rule)
    short = merge([(window, (np.array([[0, 10], [0, 7], [0, 0], [0, 0]]) / 100, scores))], 100, windows, rule)
    assert long[1].tolist() == [0.9, 0.8]
    assert short[1][1] < 0.5


@pytest.mark.parametrize("wrong", [{"step_frames": 0}, {"overlap": 1.0}, {"fps": 0.0}])
def test_windows_that_never_move_are_refused(wrong):
    with pytest.raises(ValueError, match="windows"):
        replace(RELEASED, **wrong)
