"""Figure of a single video: the similarity of its features at two times."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.io.features import TIME_ATTRIBUTES, FeatureFile
from tsp.report.style import COLOURS, drawing
from tsp.segments import feature_time
from tsp.types import Video

Floats = NDArray[np.floating]
POINTS = 200


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
