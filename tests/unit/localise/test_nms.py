import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.localise.sequential import soft_nms as sequential

from tsp.localise import nms
from tsp.localise.nms import soft_nms, soft_nms_many


def video(rng, n, grid=20):
    """Segments on a grid, so that ties and equal overlaps occur."""
    start = rng.integers(0, grid, n)
    segments = np.stack([start, start + rng.integers(1, grid, n)], axis=1) / grid
    scores = rng.random(n)
    scores[rng.random(n) < 0.2] = 0.5
    scores[rng.random(n) < 0.1] = 0.0
    return segments, scores


def same(found, expected):
    segments, scores = found
    assert segments.shape == (len(expected), 2)
    rows = np.array(expected).reshape(-1, 3)
    np.testing.assert_array_equal(segments, rows[:, :2])
    np.testing.assert_array_equal(scores, rows[:, 2])


@given(st.integers(0, 10_000), st.integers(0, 60), st.sampled_from([0.8, 0.46, 1e-4]), st.sampled_from([1, 7, 100]))
def test_bit_for_bit_the_sequential_definition(seed, n, divisor, keep):
    segments, scores = video(np.random.default_rng(seed), n)
    same(soft_nms(segments, scores, divisor=divisor, keep=keep), sequential(segments, scores, divisor, keep))


@given(st.integers(0, 10_000), st.integers(0, 60), st.sampled_from([(0.5, 0.9), (0.55, 0.9), (0.0, 0.0)]))
def test_a_threshold_that_grows_with_the_segment(seed, n, above):
    segments, scores = video(np.random.default_rng(seed), n)
    found = soft_nms(segments, scores, divisor=0.4, keep=50, above=above)
    same(found, sequential(segments, scores, 0.4, 50, above))


def test_a_long_segment_spares_what_a_short_one_decays():
    """tIoU 0.7 and 2 / 3: above 0.5 + 0.4 x 0.1, not above 0.5 + 0.4 x 1."""
    scores = np.array([0.9, 0.8, 0.1])
    options = {"divisor": 0.4, "keep": 2, "above": (0.5, 0.9)}
    assert soft_nms(np.array([[0.0, 1], [0, 0.7], [0, 0]]), scores, **options)[1].tolist() == [0.9, 0.8]
    assert soft_nms(np.array([[0.0, 0.1], [0.02, 0.12], [0, 0]]), scores, **options)[1][1] < 0.5


@pytest.mark.parametrize("lockstep", [1, 64, 8192])
def test_videos_do_not_disturb_each_other(monkeypatch, lockstep):
    monkeypatch.setattr(nms, "LOCKSTEP", lockstep)
    rng = np.random.default_rng(1)
    videos = [video(rng, n) for n in (5, 0, 31, 1, 2, 60, 31, 8)]
    for above in (None, (0.5, 0.9)):
        found = soft_nms_many(videos, divisor=0.8, keep=10, above=above)
        assert len(found) == len(videos)
        for (segments, scores), result in zip(videos, found, strict=True):
            same(result, sequential(segments, scores, 0.8, 10, above))


def test_of_two_equal_scores_the_earlier_comes_first():
    segments, scores = soft_nms(np.array([[5.0, 6], [0, 1], [2, 3]]), np.array([0.5, 0.9, 0.5]), divisor=0.8, keep=9)
    assert segments.tolist() == [[0, 1], [5, 6]]
    assert scores.tolist() == [0.9, 0.5]


def test_scores_never_rise():
    _, scores = soft_nms(*video(np.random.default_rng(3), 200), divisor=0.8, keep=100)
    assert len(scores) == 100
    assert (np.diff(scores) <= 0).all()


def test_inputs_are_left_alone():
    segments, scores = video(np.random.default_rng(4), 30)
    copies = segments.copy(), scores.copy()
    soft_nms(segments, scores, divisor=0.8, keep=10)
    np.testing.assert_array_equal(segments, copies[0])
    np.testing.assert_array_equal(scores, copies[1])


def test_nothing_to_do():
    assert soft_nms_many([], divisor=0.8, keep=10) == []
    segments, scores = soft_nms(np.zeros((0, 2)), np.zeros(0), divisor=0.8, keep=10)
    assert segments.shape == (0, 2)
    assert scores.shape == (0,)


@pytest.mark.parametrize("above", [None, (0.5, 0.9)])
def test_stored_decays_change_no_bit(monkeypatch, above):
    """Many videos on one grid share the decays; with room for none they do not."""
    rng = np.random.default_rng(5)
    start, end = np.triu_indices(10, 1)
    grid = np.stack([start, end], axis=1) / 9
    videos = [(grid, rng.random(len(grid))) for _ in range(6)]
    videos += [(grid[rng.permutation(len(grid))[:20]], rng.random(20)) for _ in range(6)]
    rule = {"divisor": 0.4, "keep": 15, "above": above}
    assert nms._same_segments(videos, nms.Suppression(**rule)) == [0, 1, 2, 3, 4, 5]
    kept = soft_nms_many(videos, **rule)
    for (segments, scores), result in zip(videos, kept, strict=True):
        same(result, sequential(segments, scores, 0.4, 15, above))
    monkeypatch.setattr(nms, "CELLS", 3)
    assert nms._same_segments(videos, nms.Suppression(**rule)) == []
    for one, other in zip(kept, soft_nms_many(videos, **rule), strict=True):
        assert [x.tolist() for x in one] == [x.tolist() for x in other]
