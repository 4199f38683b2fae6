"""Small videos that encode the frame number in 12 black or white squares, robust to H.264."""

from fractions import Fraction

import av
import numpy as np

SQUARE, ROWS, COLUMNS = 16, 3, 4
HEIGHT, WIDTH = SQUARE * ROWS, SQUARE * COLUMNS
MILLISECOND = Fraction(1, 1000)


def picture(number):
    bits = (number >> np.arange(ROWS * COLUMNS)) & 1
    grey = np.kron(bits.reshape(ROWS, COLUMNS), np.ones((SQUARE, SQUARE))) * 219 + 16
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def number_of(frame):
    """The number that `picture` wrote into a frame `[H, W, 3]`."""
    squares = np.asarray(frame)[..., 0].reshape(ROWS, SQUARE, COLUMNS, SQUARE)[:, 4:12, :, 4:12].mean(axis=(1, 3))
    return int(((squares.ravel() > 128) << np.arange(ROWS * COLUMNS)).sum())


def numbers_of(frames):
    return [number_of(frame) for frame in frames]


def write_video(path, frames, *, fps=30, times_ms=None, sound=False, b_frames=2, gop=12, options=None, muxer=None):
    """Frame k shows the number k.

    Args:
        path: file; its suffix chooses the container.
        frames: how many.
        fps: constant rate.
        times_ms: time of each frame, for an uneven rate.
        sound: add half a second of a tone per second of video.
        b_frames: at most so many between two others.
        gop: frames between key frames.
        options: more for x264.
        muxer: options of the container.
    """
    base = 1 / Fraction(fps) if times_ms is None else MILLISECOND
    with av.open(f"file:{path}", "w", options=muxer or {}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count, stream.codec_context.time_base = 1, base
        stream.options = {
            "preset": "veryfast",
            "bf": str(b_frames),
            "g": str(gop),
            "x264-params": "scenecut=0:b-adapt=0",
            **(options or {}),
        }
        tone = container.add_stream("aac", rate=16_000) if sound else None
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(k), format="rgb24")
            frame.pts, frame.time_base = (k if times_ms is None else times_ms[k]), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone is not None:
            _mux_tone(container, tone, 0.5 * frames / float(fps))
    return path


def write_sound(path, seconds=0.5):
    """A file with audio and without video."""
    with av.open(f"file:{path}", "w") as container:
        _mux_tone(container, container.add_stream("aac", rate=16_000), seconds)
    return path


def _mux_tone(container, stream, seconds):
    wave = 0.2 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * 16_000)) / 16_000)
    for start in range(0, len(wave) - 1023, 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024].astype(np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
