"""A video with its actions and predictions running below it."""

import logging
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import ffmpeg
import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.files import atomic
from tsp.io.predictions import Predictions, read_predictions
from tsp.progress import progress
from tsp.report.overlay import draw_lanes, pick_videos
from tsp.report.style import SETTINGS
from tsp.types import Video
from tsp.video.binaries import ffmpeg_path
from tsp.video.decode import VideoReader

log = logging.getLogger(__name__)
Image = NDArray[np.uint8]
# Pixels: least width of a frame, height of the strip below it, and pixels per inch of the strip.
WIDTH, STRIP, DPI = 480, 200, 100
CURSOR = (213, 48, 39)


def overlay_of_files(
    annotations: str | Path,
    predictions: Mapping[str, str | Path],
    videos: str | Path,
    output: str | Path,
    *,
    subset: str,
    name: str | None = None,
    top: int = 5,
) -> None:
    """Render one video of a subset: the one named, else the first with two actions (`pick_videos`).

    Args:
        annotations: canonical annotations.
        predictions: label of the run -> predictions.json.
        videos: folder of the standardised files.
        output: `.mp4` (H.264, 30 frames per second, no sound).
        subset: the annotation's own name of the subset.
        name: of the video; None: the first.
        top: predictions shown of each run.

    Raises:
        TspError: no such video, or its file is missing or damaged.
    """
    mine = [v for v in read_annotations(annotations) if v.subset == subset]
    named = [v for v in mine if v.name == name] if name else pick_videos(mine, subset, 1)
    if not named:
        raise TspError(f"{annotations}: no video {name or 'with an action'!r} in subset {subset!r}")
    found = {label: read_predictions(path) for label, path in predictions.items()}
    overlay(named[0], found, Path(videos) / named[0].filename, output, top=top)


def overlay(
    video: Video, predictions: Mapping[str, Predictions], source: str | Path, output: str | Path, *, top: int = 5
) -> None:
    """Write `source` with a strip of lanes below it and a cursor at the current time.

    Args: as `overlay_of_files`; `source` is the video's standardised file.
    """
    with VideoReader(source) as reader:
        seconds = reader.n_frames / float(reader.fps)
        factor = max(1, -(-WIDTH // reader.width))
        height, width = (even(factor * length) for length in (reader.height, reader.width))
        strip, first, last = _strip(video, predictions, width, seconds, top)
        size = (width, height + len(strip))
        with atomic(output) as temporary, _writer(temporary, size, float(reader.fps)) as pipe:
            frames = progress(reader.iterate(), desc="overlay", total=reader.n_frames, unit="frame")
            for number, frame in enumerate(frames):
                picture = np.zeros((height, width, 3), np.uint8)
                large = frame.repeat(factor, axis=0).repeat(factor, axis=1)
                picture[: large.shape[0], : large.shape[1]] = large[:height, :width]
                lanes = strip.copy()
                at = round(first + (last - first) * number / max(1, reader.n_frames - 1))
                lanes[:, max(0, at - 1) : at + 1] = CURSOR
                pipe.write(np.concatenate([picture, lanes]).tobytes())
    log.info("%s: %s", output, video.name)


def even(length: int) -> int:
    """The next even number: H.264 stores colour at half the resolution."""
    return length + length % 2


def _strip(
    video: Video, predictions: Mapping[str, Predictions], width: int, seconds: float, top: int
) -> tuple[Image, float, float]:
    """The lanes as an image `[STRIP, width, 3]`, and the columns of the video's start and end."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(width / DPI, STRIP / DPI), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        draw_lanes(axes, video, predictions, top=top)
        axes.set_xlim(0, seconds)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        box = axes.get_window_extent()
        image = np.asarray(canvas.buffer_rgba())[:STRIP, :width, :3]  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(image), box.x0, min(box.x1, width - 1)


class _writer:
    """Raw frames in, H.264 out."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        stream = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{size[0]}x{size[1]}", r=fps)
        options = {
            "vcodec": "libx264",
            "pix_fmt": "yuv420p",
            "crf": 23,
            "preset": "veryfast",
            "movflags": "+faststart",
            "threads": 1,
        }
        self.command = ffmpeg.compile(
            ffmpeg.output(stream, f"file:{path}", loglevel="error", **options),
            cmd=ffmpeg_path(),
            overwrite_output=True,
        )
        self.path = path

    def __enter__(self) -> IO[bytes]:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdin is not None
        return self.process.stdin

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        errors = self.process.communicate()[1].decode(errors="replace")
        if self.process.returncode and kind in (None, BrokenPipeError):
            raise TspError(f"{self.path}: ffmpeg failed: {errors.strip()[-200:]}")
