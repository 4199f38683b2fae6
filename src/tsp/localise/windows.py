"""Sliding windows over long videos, as on THUMOS14: cutting, labels, and merging of the predictions.

Frames are those of the original video, at its own rate; snippet i stands at frame i x step. T snippets of a window,
n of a video, W windows, N segments, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.features.resample import resample_time
from tsp.io.features import TIME_ATTRIBUTES
from tsp.localise.nms import Scored, Suppression, suppress
from tsp.types import Video

Floats = NDArray[np.float64]
# Options that raw predictions do not depend on.
AFTER_INFERENCE = ("windows.longest_frames", "windows.rounded")


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Cutting of long videos into windows of `length` snippets. Defaults: G-TAD's released code for THUMOS14."""

    step_frames: int = 5
    """Frames between snippets."""
    fps: float = 30.0
    """Frame rate of videos whose annotation does not state one."""
    overlap: float = 0.5
    """Share of a window that overlaps the next one."""
    tail: Literal["released", "covered"] = "released"
    """Snippets after the last full window: `released` drops up to a fifth of a window, `covered` drops none."""
    coverage: float = 0.9
    """Windows are used for training if they contain more than this share of an action."""
    clip: bool = False
    """Clip actions at the window's border; the released code does not."""
    ambiguous: bool = True
    """Train on segments annotated as Ambiguous too, as released; the network predicts no classes."""
    label_zero: Literal["released", "snippet"] = "released"
    """Frame 0 of the labels: the window's first snippet, or 3 frames (2 in the first window) before it, as released.
    Frame 0 of the predictions is always the snippet."""
    longest_frames: int | None = 300
    """Segments of this many frames or more get score 0; null: no limit."""
    rounded: bool = True
    """Round seconds to 0.1 and scores to 6 decimals, as released."""

    def __post_init__(self) -> None:
        """Reject windows without step."""
        if self.step_frames < 1 or not 0 <= self.overlap < 1 or self.fps <= 0:
            raise ValueError("windows: expected step_frames >= 1, 0 <= overlap < 1, fps > 0")


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window of a video.

    Args:
        first: its first snippet.
        fps: frame rate of the video.
        frames: number of frames of the video.
    """

    first: int
    fps: float
    frames: int


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Actions of a window, in units of its length.

    Args:
        segments: `[N, 2]` clamped to 0 ... 1, for the map.
        boundaries: `[N, 2]` unclamped, relative to the first snippet, for starts and ends.
        covered: largest share of an action that lies in the window.
    """

    segments: Floats
    boundaries: Floats
    covered: float


def frame_facts(video: Video, clips: int, attributes: Mapping[str, Any], windows: Windows) -> tuple[float, int]:
    """Frame rate and number of frames of a video: annotated, or computed from its duration, or from its clips.

    Args:
        video: `extra` may state `frame_rate` and `frames`.
        clips: features of the video.
        attributes: attributes of the feature file.
        windows: frame rate if none is annotated.

    Raises:
        TspError: neither the annotation nor the feature file states the duration.
    """
    fps = float(video.extra.get("frame_rate") or windows.fps)
    if video.extra.get("frames"):
        return fps, int(video.extra["frames"])
    seconds = video.duration_s
    if not seconds:
        if any(name not in attributes for name in TIME_ATTRIBUTES):
            raise TspError(f"video {video.name!r}: neither the annotation nor the feature file states its duration")
        span = (clips - 1) * int(attributes["stride"]) + int(attributes["clip_length"])
        seconds = span / float(attributes["fps"])
    return fps, max(round(seconds * fps), 2)


def snippet_count(frames: int, windows: Windows) -> int:
    """Snippets of a video of `frames` frames, see `snippets`."""
    return len(range(0, max(frames - 1, 1), windows.step_frames))


def snippets(features: NDArray[np.float32], frames: int, windows: Windows, *, align_corners: bool) -> NDArray[Any]:
    """Features `[clips, C]` of a video at its snippets: `[n, C]`.

    Paper: TSP section 4, by its author's answer: clips are interpolated to one per frame, of which every fifth is
        taken. There is one frame fewer than in the video, as in the features that G-TAD was published with.
    """
    return resample_time(features, max(frames - 1, 1), every=windows.step_frames, align_corners=align_corners)


def window_starts(n: int, length: int, windows: Windows) -> NDArray[np.int64]:
    """First snippets `[W]` of the windows of a video of `n` snippets; a short video has one, padded with zeros."""
    move = max(1, round(length * (1 - windows.overlap)))
    if n < length:
        return np.zeros(1, dtype=np.int64)
    starts = np.arange((n - length) // move + 1) * move
    left_over = n - length - int(starts[-1])
    if left_over > (length // windows.step_frames if windows.tail == "released" else 0):
        starts = np.append(starts, n - length)
    return starts


def cut(rows: NDArray[np.float32], starts: NDArray[np.int64], length: int) -> NDArray[np.float32]:
    """`[W, C, T]` from snippets `[n, C]`."""
    padded = np.pad(rows, ((0, max(0, length - len(rows))), (0, 0)))
    return np.stack([padded[at : at + length].T for at in starts])


def action_frames(video: Video, fps: float, windows: Windows) -> Floats:
    """`[N, 2]` frames of the actions, as annotated or from their seconds."""
    seconds = [(s.start_s, s.end_s) for s in video.segments]
    found = np.array(video.extra.get("segment_frames", np.array(seconds) * fps), dtype=np.float64).reshape(-1, 2)
    if not windows.ambiguous:
        return found
    more = np.array(video.extra.get("ambiguous_frames", ()), dtype=np.float64).reshape(-1, 2)
    return np.concatenate([found, more])


def window_labels(video: Video, window: Window, length: int, windows: Windows) -> Labels:
    """Labels of a window: all annotated actions that overlap with it.

    Paper: G-TAD section 4.1 (THUMOS14); rules of the released code.
    """
    step, times = windows.step_frames, action_frames(video, window.fps, windows)
    low = step * window.first - step / 2
    high = step * (window.first + length - 1) + step / 2
    inside = np.maximum(np.minimum(times[:, 1], high) - np.maximum(times[:, 0], low), 0.0)
    span = times[:, 1] - times[:, 0]
    share = np.divide(inside, span, out=np.zeros_like(inside), where=span > 0)
    times = times[share > 0]
    if windows.clip:
        times = np.clip(times, low, high)
    first = step * window.first
    zero = int(low) if windows.label_zero == "released" else first
    return Labels(
        segments=np.clip((times - zero) / (step * length), 0.0, 1.0),
        boundaries=(times - first) / (step * length),
        covered=float(share.max(initial=0.0)),
    )


def merge(pieces: Sequence[tuple[Window, Scored]], length: int, windows: Windows, rule: Suppression) -> Scored:
    """Segments of a video, in seconds, from those of its windows.

    Each window is suppressed separately, then the remaining segments of all windows together, on the decayed scores.

    Args:
        pieces: windows and their candidates, in units of the window's length.
        length: T.
        windows: longest segment; frames between snippets.
        rule: of both suppressions.

    Paper: G-TAD section 4.2 (inference on THUMOS14), rules of the released code.
    Differs: in a video shorter than a window (17 of 213 test videos of THUMOS14 at T = 256) segments may start in the
        padding. G-TAD's released code clips only ends to the video, so that these segments end before they start; here
        starts are clipped too, and they are empty. Neither overlaps an action: mAP is the same. BMN has no released
        code for THUMOS14 and follows the same rule.
    """
    step, found = windows.step_frames, []
    if rule.above is not None:
        # The rule measures lengths in windows; these segments are in frames.
        a, b = rule.above
        rule = Suppression(divisor=rule.divisor, keep=rule.keep, above=(a, a + (b - a) / (step * length)))
    for window, (segments, scores) in pieces:
        frames = step * (np.rint(segments * length) + window.first)
        if windows.longest_frames is not None:
            scores = np.where(frames[:, 1] - frames[:, 0] >= windows.longest_frames, 0.0, scores)
        found.append((frames, scores))
    kept = suppress(found, rule)
    together = (np.concatenate([s for s, _ in kept]), np.concatenate([p for _, p in kept]))
    segments, scores = suppress([together], rule)[0]
    video = pieces[0][0]
    return np.clip(segments, 0.0, video.frames) / video.fps, scores
