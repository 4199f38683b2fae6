"""Figures of single videos: predictions and the foreground probability over time."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.predictions import Predictions, read_predictions
from tsp.report.style import COLOURS, TRUTH, drawing
from tsp.types import Video

Floats = NDArray[np.floating]
Row = tuple[object, ...]


def pick_videos(videos: Iterable[Video], subset: str, n: int) -> list[Video]:
    """The first `n` videos of a subset with two actions or more (then with one): by order, not by result."""
    mine = [v for v in videos if v.subset == subset and v.segments]
    return sorted(mine, key=lambda v: len(v.segments) < 2)[:n]


def timeline_of_files(
    annotations: str | Path,
    predictions: Mapping[str, str | Path],
    output: str | Path,
    *,
    subset: str,
    videos: int = 3,
    top: int = 5,
    note: str = "",
) -> None:
    """`timeline` of the first videos of a subset, from annotations and one predictions.json per label."""
    picked = pick_videos(read_annotations(annotations), subset, videos)
    timeline(picked, {label: read_predictions(p) for label, p in predictions.items()}, output, top=top, note=note)


def timeline(
    videos: Sequence[Video], predictions: Mapping[str, Predictions], output: str | Path, *, top: int = 5, note: str = ""
) -> None:
    """Ground truth above the best predictions of each run, a panel per video.

    Args:
        videos: with their actions.
        predictions: label of the run -> results by video name; lower scores are paler.
        output: the `.png`.
        top: predictions per run and video; hatched ones have a class that the video does not contain.
        note: such as `miniature`.
    """
    if not videos:
        raise TspError(f"{output}: no annotated video to draw")
    lanes = 1 + sum(0.35 + 0.42 * top for _ in predictions)
    with drawing(output, size=(7.2, 0.4 + len(videos) * (0.75 + 0.28 * lanes)), note=note) as (figure, rows):
        rows.append(("video", "run", "rank", "start_s", "end_s", "label", "score"))
        for axes, video in zip(figure.subplots(len(videos), 1, squeeze=False).ravel(), videos, strict=True):
            rows += draw_lanes(axes, video, predictions, top=top)
        axes.set_xlabel("seconds")


def draw_lanes(axes: Axes, video: Video, predictions: Mapping[str, Predictions], *, top: int) -> list[Row]:
    """One video's actions above the best predictions of each run.

    Args: as `timeline`.

    Returns:
        What was drawn: video, run, rank, start_s, end_s, label, score.
    """
    rows: list[Row] = []
    classes = list(dict.fromkeys(str(s.label) for s in video.segments))
    for s in video.segments:
        _bar(axes, (s.start_s, s.end_s), 0.0, 0.8, TRUTH)
        rows.append((video.name, "ground truth", 0, s.start_s, s.end_s, s.label, None))
    ticks, end = [(0.0, "ground truth")], video.duration_s or max(s.end_s for s in video.segments)
    y = 0.75
    for number, (label, results) in enumerate(predictions.items()):
        best = sorted(results.get(video.name, []), key=lambda e: -float(e["score"]))[:top]
        ticks.append((y + 0.21 * (top - 1), label))
        for rank, entry in enumerate(best, 1):
            start, stop, score = *map(float, entry["segment"]), float(entry["score"])
            hatch = "" if entry["label"] in classes else "////"
            _bar(axes, (start, stop), y, 0.34, COLOURS[number % len(COLOURS)], score=score, hatch=hatch)
            rows.append((video.name, label, rank, start, stop, entry["label"], score))
            y += 0.42
        y += 0.42 * (top - len(best)) + 0.35
    axes.set_title(f"{video.name}: {', '.join(classes)}", fontsize=9)
    axes.set_yticks(*zip(*ticks, strict=True))
    axes.set_ylim(y - 0.2, -0.55)
    axes.set_xlim(0, end)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return rows


def _bar(
    axes: Axes, span: tuple[float, float], y: float, height: float, colour: str, *, score: float = 1.0, hatch: str = ""
) -> None:
    alpha = 0.25 + 0.75 * min(max(score, 0.0), 1.0)
    left, width = span[0], max(span[1] - span[0], 0.0)
    axes.barh(y, width, left=left, height=height, color=colour, alpha=alpha, hatch=hatch, edgecolor="white", lw=0.5)


def foreground_curve(times_s: Floats, probability: Floats, output: str | Path, *, title: str) -> None:
    """Foreground probability over time.

    Args:
        times_s: `[n]` centres of the clips, seconds.
        probability: `[n]` in [0, 1].
        output: the `.png`.
        title: above the figure.
    """
    with drawing(output, size=(6.4, 2.4)) as (figure, rows):
        rows.append(("time_s", "foreground"))
        rows += list(zip(times_s.tolist(), probability.tolist(), strict=True))
        axes = figure.subplots()
        axes.set_title(title)
        axes.plot(times_s, probability, color=COLOURS[1], marker=".")
        axes.fill_between(times_s, probability, color=COLOURS[1], alpha=0.15, linewidth=0)
        axes.set(xlabel="seconds", ylabel="foreground probability", ylim=(0, 1))
