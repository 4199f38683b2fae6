"""A video with its annotated actions and predictions running along below the picture."""

import logging
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
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
from tsp.report.style import SETTINGS, SOFT
from tsp.types import Video
from tsp.video.decode import VideoReader

log = logging.getLogger(__name__)
Picture = NDArray[np.uint8]
WIDTH, DPI, FPS, LONGEST_S = 640, 100, 10, 120.0
CURSOR = (213, 94, 0)


def overlay_of_files(
    annotations: str | Path,
    predictions: Mapping[str, str | Path],
    videos: str | Path,
    output: str | Path,
    *,
    subset: str,
    name: str | None = None,
    note: str = "",
) -> None:
    """`overlay_video` of one video of a subset.

    Args:
        annotations: canonical annotations.
        predictions: label of the run -> predictions.json.
        videos: folder of the standardised videos.
        output: the `.mp4`.
        subset: the annotation's own name.
        name: of the video; None: the first, of those that are there, with two actions or more.
        note: such as `miniature`.

    Raises:
        TspError: no such video.
    """
    known = read_annotations(annotations)
    there = [v for v in known if (name is None or v.name == name) and (Path(videos) / v.filename).is_file()]
    picked = pick_videos(there, subset, 1)
    if not picked:
        raise TspError(f"{videos}: no annotated video {name or ''} of subset {subset!r} to show".replace("  ", " "))
    found = {label: read_predictions(path) for label, path in predictions.items()}
    overlay_video(picked[0], found, Path(videos) / picked[0].filename, output, note=note)


def overlay_video(
    video: Video,
    predictions: Mapping[str, Predictions],
    path: Path,
    output: str | Path,
    *,
    top: int = 5,
    note: str = "",
) -> None:
    """Write the video with a time line below: actions, the best predictions of each run, and a moving cursor.

    Args:
        video: with its actions.
        predictions: label of the run -> results by video name.
        path: the standardised video.
        output: the `.mp4`, 640 pixels wide, 10 frames per second, at most two minutes.
        top: predictions per run.
        note: such as `miniature`.
    """
    with VideoReader(path) as reader:
        seconds = reader.n_frames / float(reader.fps)
        panel, (left, right) = _panel(video, predictions, seconds, top, note)
        shown = min(seconds, LONGEST_S)
        if shown < seconds:
            log.info("%s: the first %g of %g s are shown", video.name, shown, seconds)
        times = np.arange(int(shown * FPS)) / FPS
        numbers = np.minimum(np.rint(times * float(reader.fps)).astype(int), reader.n_frames - 1)
        with atomic(output) as temporary:
            pages = _pages(reader, numbers, panel, left + (right - left) * times / seconds)
            _write(temporary, progress(pages, desc="overlay", total=len(times), unit="frame"))


def _panel(
    video: Video, predictions: Mapping[str, Predictions], seconds: float, top: int, note: str
) -> tuple[Picture, tuple[float, float]]:
    """The time line, and the columns of its first and last second."""
    lanes = 1 + sum(0.35 + 0.42 * top for _ in predictions)
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH / DPI, 0.9 + 0.28 * lanes), dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.subplots()
        draw_lanes(axes, video, predictions, top=top)
        axes.set_xlim(0, seconds)
        axes.set_xlabel("seconds")
        if note:
            figure.supxlabel(note, x=0.995, ha="right", fontsize=8, color=SOFT, style="italic")
        canvas.draw()  # type: ignore[no-untyped-call]
        ends = axes.transData.transform([(0.0, 0.0), (seconds, 0.0)])[:, 0]
        pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
        return pixels, (float(ends[0]), float(ends[1]))


def _pages(
    reader: VideoReader, numbers: NDArray[np.int64], panel: Picture, columns: NDArray[np.float64]
) -> Iterator[Picture]:
    # One decode from front to end, whatever the key frames.
    wanted, at = numbers.tolist(), 0
    for number, frame in enumerate(reader.iterate()):
        while at < len(wanted) and wanted[at] == number:
            below = panel.copy()
            column = int(columns[at])
            below[:, column : column + 2] = CURSOR
            page = np.concatenate([_fit(frame), below])
            # Codecs want even sides.
            yield np.pad(page, ((0, len(page) % 2), (0, 0), (0, 0)), constant_values=255)
            at += 1


def _fit(frame: Picture) -> Picture:
    """The frame in the page's width: small ones enlarged by whole pixels, in the middle; large ones thinned out."""
    height, width = frame.shape[:2]
    if width > WIDTH:
        rows = np.arange(round(height * WIDTH / width)) * height // round(height * WIDTH / width)
        return np.asarray(frame[rows][:, np.arange(WIDTH) * width // WIDTH])
    times = max(1, min(WIDTH // width, 360 // height))
    large = frame.repeat(times, axis=0).repeat(times, axis=1)
    space = WIDTH - large.shape[1]
    return np.pad(large, ((0, 0), (space // 2, space - space // 2), (0, 0)), constant_values=255)


def _write(path: Path, pages: Iterator[Picture]) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        for page in pages:
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(FPS), options={"crf": "26", "preset": "fast"})
                stream.height, stream.width, stream.pix_fmt = *page.shape[:2], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(page), format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
