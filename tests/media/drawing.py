"""Videos that state what they show: each picture its number, clicks in the sound at known seconds."""

import contextlib
import math
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from tsp.video.binaries import ffmpeg_path

BITS, WIDTH, HEIGHT = 12, 192, 96
SECONDS = 12.0
CLICKS = (1.5, 3.0, 6.5, 7.5, 10.0)
Truth = list[tuple[float, int]]


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """`[height, width]` grey: a column for each bit, its complement below, so that damage is noticed."""
    columns = np.arange(width) * BITS // width
    upper = np.where((number >> columns) & 1, 235, 20).astype(np.uint8)
    image = np.repeat(upper[None], height, axis=0)
    image[height // 2 :] = 255 - upper
    return image


def read_number(image: NDArray[np.uint8]) -> int | None:
    """The number of a picture `[height, width]` or `[height, width, 3]`; None: it cannot be read."""
    grey = image.mean(axis=2) if image.ndim == 3 else image.astype(float)
    height, width = grey.shape
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    above, below = grey[height // 4, centres], grey[3 * height // 4, centres]
    if (np.abs(above - below) < 40).any():
        return None
    return int(sum(1 << bit for bit in range(BITS) if above[bit] > below[bit]))


def ffmpeg(*arguments: object, data: bytes | None = None) -> bytes:
    """Run ffmpeg; its standard output.

    Raises:
        RuntimeError: it failed; the message is its last line.
    """
    words = [ffmpeg_path(), "-y", "-v", "error", *map(str, arguments)]
    done = subprocess.run(words, input=data, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace").strip().splitlines()[-1][:200])
    return done.stdout


def base(path: Path, fps: str = "30", *, size: tuple[int, int] = (WIDTH, HEIGHT), rate: int = 44_100) -> Path:
    """A lossless source (FFV1 and PCM in NUT) from which the files of the campaign are encoded."""
    above, _, below = fps.partition("/")
    count = int(SECONDS * int(above) / int(below or 1))
    samples = np.zeros(int(SECONDS * rate), np.int16)
    tone = (np.sin(np.arange(rate // 50) * 2 * np.pi * 1000 / rate) * 25_000).astype(np.int16)
    for second in CLICKS:
        samples[int(second * rate) :][: len(tone)] = tone
    # Two processes may need it at once.
    sound, own = path.with_suffix(f".{os.getpid()}.wav"), path.with_suffix(f".{os.getpid()}.nut")
    ffmpeg("-f", "s16le", "-ar", rate, "-ac", 1, "-i", "-", sound, data=samples.tobytes())
    raw = b"".join(picture(k, *size).tobytes() for k in range(count))
    form = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", fps)
    ffmpeg(*form, "-i", "-", "-i", sound, "-c:v", "ffv1", "-c:a", "pcm_s16le", own, data=raw)
    own.replace(path)
    return path


def shown(path: Path, stream: int) -> Truth:
    """What ffmpeg itself presents: time stamp of the source in seconds, and number, of each picture."""
    command = [ffmpeg_path(), "-v", "info", "-nostats", "-copyts", "-noautorotate", "-i", f"file:{path}"]
    command += [
        "-map",
        f"0:{stream}",
        "-vf",
        f"showinfo,scale={WIDTH}:{HEIGHT},format=gray",
        "-fps_mode",
        "passthrough",
    ]
    done = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=False)
    words = done.stderr.decode(errors="replace").split()
    stamps = [float(word[9:]) for word in words if word.startswith("pts_time:") and word[9:] != "NOPTS"]
    images = np.frombuffer(done.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH)
    numbers = [read_number(image) for image in images]
    return [(s, n) for s, n in zip(stamps, numbers, strict=False) if n is not None]


def heard(path: Path, stream: int) -> tuple[float, list[float]]:
    """Time stamp of the first sample, and those of the clicks, as libav decodes them."""
    start, end, clicks = None, 0.0, []
    with av.open(f"file:{path}") as container, contextlib.suppress(FFmpegError, IndexError):
        resampler = None
        frames: Iterator[Any] = container.decode(container.streams[stream])
        for frame in frames:
            resampler = resampler or av.AudioResampler(format="s16p", layout=frame.layout, rate=frame.sample_rate)
            first = end if frame.pts is None else float(frame.pts * frame.time_base)
            start = first if start is None else start
            end = first + frame.samples / frame.sample_rate
            frame.pts = None
            for part in resampler.resample(frame):
                level = np.abs(part.to_ndarray().astype(np.int32)).max(axis=0)
                clicks += [first + k / frame.sample_rate for k in np.flatnonzero(level > 0.3 * 32768)]
    return start if start is not None else 0.0, onsets(clicks)


def onsets(times: Sequence[float]) -> list[float]:
    """The first of each group of times that are less than 0.1 s apart."""
    return [t for before, t in zip([-math.inf, *times], times, strict=False) if t - before > 0.1]


def at(truth: Truth, second: float) -> int:
    """Number of the picture that is presented at a time stamp; the first one before its time."""
    number = truth[0][1]
    for stamp, n in truth:
        if stamp > second + 1e-6:
            break
        number = n
    return number
