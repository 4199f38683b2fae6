"""Figures of single videos: predictions over time, and the similarity of features at two times."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.features import TIME_ATTRIBUTES, FeatureFile
from tsp.io.predictions import Predictions, read_predictions
from tsp.report.style import COLOURS, TRUTH, drawing
from tsp.segments import feature_time
from tsp.types import Video

Floats = NDArray[np.floating]
Row = tuple[object, ...]
POINTS = 200


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


def similarity_of_files(
    features: Mapping[str, str | Path], video: Video, output: str | Path, *, note: str = ""
) -> None:
    """`similarity` of one video, from one feature file per label."""
    arrays, times = {}, {}
    for label, path in features.items():
        with FeatureFile(path) as file:
            facts = file.attributes
            arrays[label] = np.asarray(file[video.key], dtype=np.float64)
        missing = [name for name in TIME_ATTRIBUTES if name not in facts]
        if missing:
            raise TspError(f"{path}: does not state {missing[0]!r}, so its features have no time; extract them again")
        index = np.arange(len(arrays[label]))
        stride, clip = int(facts["stride"]), int(facts["clip_length"])
        times[label] = feature_time(index, stride, float(facts["fps"]), clip)
    similarity(arrays, times, video, output, note=note)


def similarity(
    features: Mapping[str, Floats], times: Mapping[str, Floats], video: Video, output: str | Path, *, note: str = ""
) -> None:
    """Cosine similarity of every two clips of a video, a column per run; rows share a colour scale.

    Above, the features as they are; below, without their mean over the video, since features of a network that ends in
    rectified averages all point roughly the same way. Actions are marked along both edges. Titles state the mean
    similarity of two clips in actions and of one in an action with one outside: the larger the gap, the better the
    features separate action from background.

    Args:
        features: label of the run -> `[n, C]`; of more than 200 clips evenly spaced ones are drawn.
        times: label of the run -> `[n]` centres of the clips, seconds.
        video: with its actions.
        output: the `.png`.
        note: such as `miniature`.
    """
    if not features:
        raise TspError(f"{output}: no features to compare")
    with drawing(output, size=(0.9 + 3.1 * len(features), 7.0), note=note) as (figure, rows):
        rows.append(("run", "video", "time_1_s", "time_2_s", "cosine", "cosine_without_mean"))
        grid = figure.subplots(2, len(features), squeeze=False)
        seconds, matrices = {}, {}
        for label, array in features.items():
            if len(array) != len(times[label]) or not len(array):
                raise TspError(f"{video.name}, {label}: {len(array)} features for {len(times[label])} times")
            chosen = np.unique(np.linspace(0, len(array) - 1, min(POINTS, len(array))).round().astype(int))
            seconds[label] = times[label][chosen]
            matrices[label] = (_cosine(array[chosen]), _cosine(array[chosen] - array.mean(axis=0)))
            upper = np.triu_indices(len(chosen))
            columns = (seconds[label][upper[0]], seconds[label][upper[1]], *(m[upper] for m in matrices[label]))
            rows += [(label, video.name, *values) for values in zip(*columns, strict=True)]
        for number, (panels, kind) in enumerate(zip(grid, ("", ", without the mean"), strict=True)):
            low = min(float(m[number].min()) for m in matrices.values())
            for axes, label in zip(panels, features, strict=True):
                image = _panel(axes, seconds[label], matrices[label][number], video, low)
                axes.set_title(f"{label}{kind}\n{axes.get_title(loc='left')}", fontsize=8)
            panels[0].set_ylabel("seconds")
            figure.colorbar(image, ax=list(panels), label="cosine similarity", shrink=0.8, pad=0.02)


def _panel(axes: Axes, seconds: Floats, matrix: Floats, video: Video, low: float) -> AxesImage:
    inside = np.any([(s.start_s <= seconds) & (seconds <= s.end_s) for s in video.segments], axis=0)
    image = _matrix(axes, seconds, matrix, low)
    _mark(axes, video)
    axes.set_title(_contrast(matrix, inside), loc="left")
    return image


def _bar(
    axes: Axes, span: tuple[float, float], y: float, height: float, colour: str, *, score: float = 1.0, hatch: str = ""
) -> None:
    alpha = 0.25 + 0.75 * min(max(score, 0.0), 1.0)
    left, width = span[0], max(span[1] - span[0], 0.0)
    axes.barh(y, width, left=left, height=height, color=colour, alpha=alpha, hatch=hatch, edgecolor="white", lw=0.5)


def _cosine(features: Floats) -> Floats:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(norms > 0, norms, 1)
    return np.asarray(unit @ unit.T)


def _contrast(matrix: Floats, inside: NDArray[np.bool_]) -> str:
    pairs = np.outer(inside, inside) & ~np.eye(len(inside), dtype=bool)
    both = float(matrix[pairs].mean()) if pairs.any() else None
    mixed = matrix[inside][:, ~inside]
    # Raw features may differ in the fourth digit alone.
    digits = 2 if matrix.min() < 0.9 else 4
    parts = [] if both is None else [f"action–action {both:.{digits}f}"]
    parts += [f"action–background {mixed.mean():.{digits}f}"] if mixed.size else []
    return ", ".join(parts)


def _matrix(axes: Axes, seconds: Floats, matrix: Floats, low: float) -> AxesImage:
    half = float(np.diff(seconds).mean()) / 2 if len(seconds) > 1 else 0.5
    first, last = float(seconds[0]) - half, float(seconds[-1]) + half
    axes.grid(visible=False)
    axes.set_xlabel("seconds")
    extent = (first, last, last, first)
    return axes.imshow(matrix, extent=extent, vmin=low, vmax=1.0, cmap="cividis", interpolation="nearest")


def _mark(axes: Axes, video: Video) -> None:
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    thick = 0.035 * (right - left)
    for s in video.segments:
        span = (max(s.start_s, left), min(s.end_s, right))
        for t in span:
            axes.axvline(t, color="white", lw=0.6, ls=":")
            axes.axhline(t, color="white", lw=0.6, ls=":")
        length = max(span[1] - span[0], 0.0)
        axes.barh(top - thick, length, left=span[0], height=thick, color=COLOURS[1], clip_on=False)
        axes.bar(left - thick, length, bottom=span[0], width=thick, color=COLOURS[1], clip_on=False)
    axes.set_xlim(left - 2 * thick, right)
    axes.set_ylim(bottom, top - 2 * thick)
    for side in axes.spines.values():
        side.set_visible(False)


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
