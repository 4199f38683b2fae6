"""Figures of the error analyses: kinds of false positives, sensitivity and misses, each as PNG, PDF and CSV."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from tsp.evaluation.errors import KINDS
from tsp.io.files import read_text
from tsp.report.scores import Scores
from tsp.report.style import COLOURS, INK, SOFT, drawing, legend_above

Results = Mapping[str, Mapping[str, Any]]
CHARACTERISTICS = {"coverage": "Coverage", "length": "Length", "instances": "Instances in the video"}
KIND_COLOURS = dict(zip(KINDS, ("#009E73", "#56B4E9", "#CC79A7", "#E69F00", "#D55E00", "#B8BEC5"), strict=True))


def draw_all(results: Results, folder: str | Path, *, note: str = "") -> None:
    """Draw `false_positives.png`, `sensitivity.png` and `false_negatives.png`.

    Args:
        results: name of a run -> content of its errors file.
        folder: output folder.
        note: such as `miniature`.
    """
    if not results:
        for stem in ("false_positives", "sensitivity", "false_negatives"):
            with drawing(Path(folder) / f"{stem}.png", size=(4.8, 1.2), note=note) as (figure, rows):
                rows.append(("run", "percent"))
                figure.text(0.5, 0.5, "Not analysed: how long the videos are is not known.", ha="center", va="center")
        return
    error_profile(results, Path(folder) / "false_positives.png", note=note)
    sensitivity(results, Path(folder) / "sensitivity.png", note=note)
    misses(results, Path(folder) / "false_negatives.png", note=note)


def analyses_of(scores: Scores, runs: Mapping[str, str], experiment: str) -> dict[str, Any]:
    """Error analyses of scores.json files, the mean of the seeds of each run.

    Args:
        scores: content by (experiment, run, seed).
        runs: runs with their labels.
        experiment: experiment whose scores are read.

    Returns:
        By label; runs without known durations of the videos are omitted.
    """
    found = {}
    for run, label in runs.items():
        seeds = [content.get("errors") for (e, r, _), content in sorted(scores.items()) if (e, r) == (experiment, run)]
        if seeds and None not in seeds:
            found[label] = mean_of(seeds)
    return found


def mean_of(values: Sequence[Any]) -> Any:
    """Element-wise mean of objects of equal structure; a value that is undefined in one is undefined in the mean."""
    first = values[0]
    if isinstance(first, Mapping):
        return {key: mean_of([value[key] for value in values]) for key in first}
    if isinstance(first, list):
        return [mean_of(items) for items in zip(*values, strict=True)]
    if isinstance(first, str | bool) or None in values:
        return None if None in values else first
    return first if len(set(values)) == 1 else statistics.fmean(values)


def error_profile(results: Results, output: str | Path, *, note: str = "") -> None:
    """For each run: kinds of predictions by rank (1: as many of the best as there are instances, ...), and what
    removing each kind of error would gain.

    Args: as `draw_all`; `output` is the `.png`.
    """
    with drawing(output, size=(7.2, 0.8 + 2.5 * len(results)), note=note) as (figure, rows):
        rows.append(("run", "analysis", "group", "kind", "percent"))
        grid = figure.subplots(len(results), 2, squeeze=False, width_ratios=[3, 2])
        for (run, result), (left, right) in zip(results.items(), grid, strict=True):
            found = result["false_positives"]
            groups = [g for g in found["profile"] if g["predictions"]]
            bottom = [0.0] * len(groups)
            for kind in KINDS:
                heights = [100 * g[kind] for g in groups]
                places = [g["group"] for g in groups]
                left.bar(places, heights, bottom=bottom, color=KIND_COLOURS[kind], label=kind, width=0.85)
                bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
                rows += [(run, "profile", n, kind, h) for n, h in zip(places, heights, strict=True)]
            left.set(xlabel="best predictions, in multiples of the instances", ylabel="predictions (%)", ylim=(0, 100))
            left.set_xticks(range(1, len(found["profile"]) + 1))
            left.set_title(f"{run}: what predictions are")
            gains = {kind: 100 * value for kind, value in found["impact"].items()}
            right.barh(list(gains), list(gains.values()), color=[KIND_COLOURS[kind] for kind in gains])
            for place, value in enumerate(gains.values()):
                right.annotate(f" {value:.2f}", (value, place), va="center", fontsize=8, color=INK)
            right.invert_yaxis()
            right.margins(x=0.2)
            right.grid(axis="y", visible=False)
            right.set_xlabel("gain in average mAP$_N$ (points)")
            right.set_title("what errors cost")
            rows += [(run, "impact", "", kind, value) for kind, value in gains.items()]
        legend_above(figure, grid[0][0])


def sensitivity(results: Results, output: str | Path, *, note: str = "") -> None:
    """Normalised average mAP of the instances of each bucket; dashed: of all instances.

    Args: as `draw_all`; `output` is the `.png`.
    """

    def value(result: Mapping[str, Any], name: str, size: str) -> float | None:
        found: float | None = result["sensitivity"][name]["buckets"][size]["average_mAP_N"]
        return found

    overall = {run: result["sensitivity"]["average_mAP_N"] for run, result in results.items()}
    _bars(results, output, value, "average mAP$_N$ (%)", overall, note)


def misses(results: Results, output: str | Path, *, note: str = "") -> None:
    """Share of the instances of each bucket that are not found; dashed: of all instances.

    Args: as `draw_all`; `output` is the `.png`.
    """

    def value(result: Mapping[str, Any], name: str, size: str) -> float | None:
        found: float | None = result["false_negatives"][name][size]["missed"]
        return found

    overall = {run: result["false_negatives"]["missed"] for run, result in results.items()}
    _bars(results, output, value, "missed instances (%)", overall, note)


def bucket_rows(folder: str | Path) -> list[list[str]]:
    """Numbers of `sensitivity.csv` and `false_negatives.csv`, a row for each bucket by length and coverage.

    Args:
        folder: folder of the figures.

    Returns:
        Header first: bucket, instances, then per run the normalised average mAP and the share missed, and what the
        last run gains over the first; empty where no errors were analysed.
    """
    found, missed = (_by_run(Path(folder) / f"{stem}.csv") for stem in ("sensitivity", "false_negatives"))
    if not found:
        return []
    first, last = next(iter(found)), list(found)[-1]
    gained = f"mAP_N: {last} − {first}"
    rows = [["bucket", "instances", *(f"mAP_N: {run}" for run in found), gained, *(f"missed: {run}" for run in found)]]
    for (name, size), (instances, _) in found[first].items():
        if name not in ("length", "coverage", "all"):
            continue
        values = [found[run][name, size][1] for run in found]
        gain = values[-1] - values[0] if last != first else math.nan
        shares = [_digits(missed[run][name, size][1]) for run in found]
        what = f"{CHARACTERISTICS.get(name, 'All actions')} {size}".strip()
        rows.append([what, instances, *map(_digits, values), _digits(gain, "+"), *shares])
    return rows


def _by_run(path: Path) -> dict[str, dict[tuple[str, str], tuple[str, float]]]:
    found: dict[str, dict[tuple[str, str], tuple[str, float]]] = {}
    for row in csv.DictReader(read_text(path).splitlines()):
        value = float(row["percent"] or "nan")
        key = (row["characteristic"], row["bucket"])
        found.setdefault(row["run"], {})[key] = (row["instances"].removesuffix(".0"), value)
    return found


def _digits(value: float, sign: str = "") -> str:
    return "—" if math.isnan(value) else f"{value:{sign}.2f}".replace("-", "−")


def _bars(
    results: Results, output: str | Path, value: Any, label: str, overall: Mapping[str, float], note: str
) -> None:
    """A panel for each characteristic, a group of bars for each bucket, a bar for each run."""
    first = next(iter(results.values()))["sensitivity"]
    with drawing(output, size=(2.2 + 2.4 * len(CHARACTERISTICS), 3.1), note=note) as (figure, rows):
        rows.append(("run", "characteristic", "bucket", "instances", "percent"))
        grid = figure.subplots(1, len(CHARACTERISTICS), sharey=True)
        for axes, (name, title) in zip(grid, CHARACTERISTICS.items(), strict=True):
            sizes = list(first[name]["buckets"])
            for number, (run, result) in enumerate(results.items()):
                values = [value(result, name, size) for size in sizes]
                percent = [None if v is None else 100 * v for v in values]
                _group(axes, percent, number, len(results), run)
                axes.axhline(100 * overall[run], color=_colour(number), linestyle="--", linewidth=0.9)
                counts = [result["sensitivity"][name]["buckets"][size]["instances"] for size in sizes]
                rows += [(run, name, s, n, v) for s, n, v in zip(sizes, counts, percent, strict=True)]
            ticks = [f"{s}\n{first[name]['buckets'][s]['instances']}" for s in sizes]
            axes.set_xticks(range(len(sizes)), ticks)
            axes.set_title(title)
            axes.set_xlabel("bucket, instances", color=SOFT)
            axes.grid(axis="x", visible=False)
        rows += [(run, "all", "", "", 100 * v) for run, v in overall.items()]
        grid[0].set_ylabel(label)
        if len(results) > 1:
            legend_above(figure, grid[0])


def _group(axes: Axes, percent: Sequence[float | None], number: int, runs: int, run: str) -> None:
    width = 0.8 / runs
    places = [place - 0.4 + width * (number + 0.5) for place in range(len(percent))]
    axes.bar(places, [v or 0.0 for v in percent], width=width, color=_colour(number), label=run)
    for place, v in zip(places, percent, strict=True):
        text = "-" if v is None else f"{v:.1f}"
        axes.annotate(text, (place, v or 0.0), (0, 1.5), textcoords="offset points", ha="center", fontsize=6.5)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
