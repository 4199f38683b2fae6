"""Frames and starts of clips, in integers and fractions only.

t0 start of a clip in seconds, k0 its first frame, q = video rate / clip rate.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tsp.segments import CLIP_FPS, CLIP_LENGTH, clip_seconds

Ints = NDArray[np.int64]
# A start of k / fps up to rounding belongs to frame k.
EPSILON = 1e-6


def clip_frames(
    start_s: float,
    fps: float,
    clip_length: int = CLIP_LENGTH,
    clip_fps: float = CLIP_FPS,
    *,
    released_timestamps: bool = False,
) -> Ints:
    """Frames of the clip that starts at `start_s`: k0 + floor(j q), j = 0 ... clip_length - 1.

    Args:
        start_s: seconds.
        fps: constant rate of the video.
        clip_length: frames of the clip.
        clip_fps: rate of the clip.
        released_timestamps: shift by one frame where the released code shifts.

    Returns:
        `[clip_length]` frame numbers from 0; the caller checks them against the length of the video.

    Paper: section 3.1 (clips of 16 frames at 15 fps).
    Differs: the released code compares timestamps in units of 1/15360 s. If rounding puts t0 just below the timestamp
        of a frame, it takes the frame before (`released_timestamps`, exact for 30 fps files of that time base).
    """
    rate = _fraction(fps)
    first = _released_first(start_s, rate) if released_timestamps else int(np.floor(start_s * float(rate) + EPSILON))
    return first + _steps(rate / _fraction(clip_fps), clip_length)


def _released_first(start_s: float, rate: Fraction) -> int:
    # The released code multiplies by 1 / time base, which is 15360 exactly; dividing by 1 / 15360 rounds elsewhere.
    return int(Fraction(int(np.floor(start_s * 15360.0)), 15360) * rate)


def extraction_frames(
    n_frames: int,
    fps: float,
    stride: int,
    clip_length: int = CLIP_LENGTH,
    clip_fps: float = CLIP_FPS,
    *,
    released_timestamps: bool = False,
) -> Ints:
    """Frames of every clip of a video, for feature extraction.

    Args:
        n_frames: frames of the video, F.
        fps: its constant rate.
        stride: frames at `clip_fps` between the starts of consecutive clips.
        clip_length: frames of a clip.
        clip_fps: rate of a clip.
        released_timestamps: shift a clip by one frame where the released code shifts, see `clip_frames`.

    Returns:
        `[n, clip_length]` frame numbers, n = floor((N - clip_length) / stride) + 1, or 0 rows when N < clip_length;
        N = ceil(F / q) for a whole q, else floor(F clip_fps / fps).

    Paper: section 4 (features); tsp.md 9.1.
    """
    starts = extraction_starts(n_frames, fps, stride, clip_length, clip_fps)
    first = sampled_frames(n_frames, fps, clip_fps)[starts]
    if released_timestamps:
        rate = _fraction(fps)
        first = np.array([_released_first(k / float(rate), rate) for k in first.tolist()], dtype=np.int64)
    return first[:, None] + _steps(_fraction(fps) / _fraction(clip_fps), clip_length)


def extraction_starts(
    n_frames: int, fps: float, stride: int, clip_length: int = CLIP_LENGTH, clip_fps: float = CLIP_FPS
) -> Ints:
    """Starts of the clips, as positions among the sampled frames: 0, stride, 2 stride ..."""
    n = n_sampled(n_frames, fps, clip_fps)
    return np.arange(0, max(0, n - clip_length + 1), stride, dtype=np.int64)


def n_sampled(n_frames: int, fps: float, clip_fps: float = CLIP_FPS) -> int:
    """Number of frames of a video at the frame rate of the clips."""
    q = _fraction(fps) / _fraction(clip_fps)
    if q.denominator == 1:
        return -(-n_frames // q.numerator)
    return int(n_frames / q)


def sampled_frames(n_frames: int, fps: float, clip_fps: float = CLIP_FPS) -> Ints:
    """Frames of the video at the frame rate of the clips: floor(k q)."""
    return _steps(_fraction(fps) / _fraction(clip_fps), n_sampled(n_frames, fps, clip_fps))


def training_start(segment: tuple[float, float], rho: float, clip_s: float | None = None) -> float:
    """Start in seconds of a clip inside a segment: t_start + rho (t_end - t_start - d).

    Args:
        segment: start and end in seconds, at least one clip long.
        rho: in [0, 1]: uniform in training, 0, 1/4 ... 1 in validation.
        clip_s: length of a clip; None: 16/15 s.
    """
    length = clip_seconds() if clip_s is None else clip_s
    return segment[0] + rho * (segment[1] - segment[0] - length)


def _fraction(rate: float) -> Fraction:
    # 29.97 stands for 30000/1001; probing keeps enough digits to recover it.
    return Fraction(rate).limit_denominator(100_000)


def _steps(q: Fraction, n: int) -> Ints:
    return np.arange(n, dtype=np.int64) * q.numerator // q.denominator
