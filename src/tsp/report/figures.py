"""Figures of scores and trainings. Each call writes a PNG, a PDF and a CSV of the data drawn."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from tsp.errors import TspError
from tsp.io.files import read_text
from tsp.report.scores import Cell, Scores, metric_value
from tsp.report.style import COLOURS, SOFT, columns_of, drawing, legend_above, look

# Run -> label, in drawing order.
Runs = Mapping[str, str]
METRIC = "average_mAP"


def seed_dots(scores: Scores, runs: Runs, output: str | Path, *, experiment: str, note: str = "") -> None:
    """Every training as a dot, the mean as a bar; a line joins the runs that share a seed.

    Args:
        scores: content of scores.json by (experiment, run, seed).
        runs: runs from left to right, with their labels.
        output: the `.png`.
        experiment: experiment whose scores are drawn.
        note: such as `miniature`.
    """
    found = _by_seed(scores, runs, experiment)
    with drawing(output, size=(1.9 + 1.35 * len(found), 3.4), note=note) as (figure, rows):
        rows.append(("run", "label", "seed", METRIC))
        axes = figure.subplots()
        axes.set_title("Average mAP")
        seeds = sorted({s for values in found.values() for s in values})
        # Offset by seed, so that equal values do not overlap.
        aside = {seed: 0.06 * (k - (len(seeds) - 1) / 2) for k, seed in enumerate(seeds)}
        for seed in seeds:
            path = [(x + aside[seed], values[seed]) for x, values in enumerate(found.values()) if seed in values]
            axes.plot(*zip(*path, strict=True), color=SOFT, alpha=0.45, linewidth=1, zorder=1)
        for x, (run, values) in enumerate(found.items()):
            style, mean = look(x), statistics.fmean(values.values())
            axes.plot([x - 0.2, x + 0.2], [mean, mean], color=style["color"], linewidth=2.4, zorder=2)
            places = [x + aside[seed] for seed in values]
            axes.plot(places, list(values.values()), linestyle="", zorder=3, markeredgecolor="white", ms=6.5, **style)
            axes.annotate(
                f"{mean:.2f}", (x + 0.24, mean), va="center", fontsize=8.5, color=style["color"], weight="bold"
            )
            rows += [(run, runs[run], seed, value) for seed, value in values.items()]
        axes.set_xticks(range(len(found)), [runs[run] for run in found])
        axes.set_xlim(-0.5, len(found) - 0.4)
        axes.margins(y=0.15)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("Average mAP (%)")


def map_curves(scores: Scores, runs: Runs, output: str | Path, *, experiment: str, note: str = "") -> None:
    """Mean average precision over the tIoU threshold: mean of the seeds, band from lowest to highest seed.

    Args: as `seed_dots`.
    """
    points = {
        cell: {float(t): 100 * value for t, value in content["mAP"].items()}
        for cell, content in scores.items()
        if cell[0] == experiment
    }
    _bands(points, runs, output, names=("tiou", "mAP"), axes_names=("tIoU threshold", "mAP (%)"), note=note)


def recall_curves(scores: Scores, runs: Runs, output: str | Path, *, experiment: str, note: str = "") -> None:
    """Average recall over the average number of proposals of a video (AR-AN), as `map_curves`.

    Args: as `seed_dots`.
    """
    points = {
        # The official abscissa is a product of fractions: equal points differ in their last digit.
        cell: {round(n, 6): 100 * value for n, value in content["proposals"]["curve"]}
        for cell, content in scores.items()
        if cell[0] == experiment
    }
    names = ("proposals_per_video", "average_recall")
    _bands(points, runs, output, names=names, axes_names=("proposals per video", "average recall (%)"), note=note)


def _bands(
    points: Mapping[Cell, Mapping[float, float]],
    runs: Runs,
    output: str | Path,
    *,
    names: tuple[str, str],
    axes_names: tuple[str, str],
    note: str,
) -> None:
    """Curves of one experiment, the seeds of a run drawn as their mean and range."""
    with drawing(output, size=(4.8, 3.5), note=note) as (figure, rows):
        rows.append(("run", "label", "seed", *names))
        axes = figure.subplots()
        for number, run in enumerate(runs):
            curves = {seed: curve for (_, r, seed), curve in sorted(points.items()) if r == run}
            if not curves:
                continue
            across = list(next(iter(curves.values())))
            columns = [[curve[x] for curve in curves.values()] for x in across]
            style = look(number) if len(across) < 30 else {"color": look(number)["color"]}
            low, high = [min(c) for c in columns], [max(c) for c in columns]
            axes.fill_between(across, low, high, color=style["color"], alpha=0.18, lw=0)
            axes.plot(across, [statistics.fmean(c) for c in columns], label=runs[run], **style)
            rows += [(run, runs[run], seed, x, y) for seed, curve in curves.items() for x, y in curve.items()]
        _require(rows[1:], output)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(axes_names[0])
        axes.set_ylabel(axes_names[1])
        axes.legend()


def class_bars(
    scores: Scores, runs: Runs, output: str | Path, *, experiment: str, most: int = 30, note: str = ""
) -> None:
    """Average AP of each class, mean of the seeds, sorted by how much the last run gains over the first.

    Args: as `seed_dots`; of more than `most` classes those with the largest difference are drawn (the CSV has all).
    """
    table = {run: _class_means(scores, experiment, run) for run in runs}
    table = {run: classes for run, classes in table.items() if classes}
    _require(table, output)
    first, last = next(iter(table.values())), list(table.values())[-1]
    gain = {c: last[c] - first[c] for c in first if c in last}
    drawn = sorted(sorted(gain, key=lambda c: -abs(gain[c]))[:most], key=lambda c: (gain[c], c))
    with drawing(output, size=(5.0, 1.3 + 0.115 * (len(table) + 0.6) * len(drawn)), note=note) as (figure, rows):
        rows.append(("run", "label", "class", "average_AP"))
        axes = figure.subplots()
        height = 0.8 / len(table)
        for number, (run, classes) in enumerate(table.items()):
            places = [y + 0.4 - height * (number + 0.5) for y in range(len(drawn))]
            colour = COLOURS[list(runs).index(run) % len(COLOURS)]
            axes.barh(places, [classes[c] for c in drawn], height=height, color=colour, label=runs[run])
            rows += [(run, runs[run], c, v) for c, v in classes.items()]
        axes.set_yticks(range(len(drawn)), drawn, fontsize=7.5 if len(drawn) > 12 else 9)
        axes.set_ylim(-0.7, len(drawn) - 0.3)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("average AP (%)")
        every = len(drawn) == len(gain)
        axes.set_title("Average AP by class" if every else f"The {most} of {len(gain)} classes that differ most")
        legend_above(figure, axes)


def training_curves(logs: Mapping[str, str | Path], output: str | Path, *, note: str = "") -> None:
    """Losses and metrics of trainings, a panel each: training dashed and faint, validation solid with markers.

    Args:
        logs: label -> `log.jsonl`.
        output: the `.png`.
        note: such as `miniature`.

    Without logs (released weights only) the figure states that nothing was trained.
    """
    if not logs:
        with drawing(output, size=(4.8, 1.2), note=note) as (figure, rows):
            rows.append(("run", "part", "name", "epoch", "value"))
            figure.text(0.5, 0.5, "No training: the features of this table were released.", ha="center", va="center")
        return
    series = {label: read_curves(path) for label, path in logs.items()}
    panels = list(dict.fromkeys(name for curves in series.values() for _, name in curves))
    _require(panels, output)
    down, across = columns_of(len(panels))
    with drawing(output, size=(0.6 + 2.9 * across, 0.7 + 2.2 * down), note=note) as (figure, rows):
        rows.append(("run", "part", "name", "epoch", "value"))
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for number, (label, curves) in enumerate(series.items()):
            for (part, name), points in curves.items():
                _curve(grid[panels.index(name)], points, part, number, label)
                rows += [(label, part, name, x, y) for x, y in points]
        for axes, name in zip(grid, panels, strict=False):
            axes.set_title(name.replace("_", " "))
            axes.set_xlabel("epoch")
        for axes in grid[len(panels) :]:
            axes.remove()
        # The first panel may lack some runs, so the legend gets its entries explicitly.
        for number, label in enumerate(series):
            grid[0].plot([], [], label=label, **look(number))
        if any(part == "train" for curves in series.values() for part, _ in curves):
            grid[0].plot([], [], label="training", color=SOFT, linestyle="--", alpha=0.7)
        legend_above(figure, grid[0])


def read_curves(path: str | Path) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Curves of a training log: (`train` or `valid`, name) -> points (epoch, value).

    Lines that are not records and values that are not numbers are skipped: a log may be truncated anywhere.
    """
    records = []
    for line in read_text(path).splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and isinstance(record.get("iteration"), int):
            records.append(record)
    # Records at the end of an epoch have no learning rate; they give the number of iterations per epoch.
    closing = [r for r in records if "lr" not in r and isinstance(r.get("epoch"), int) and r["iteration"] > 0]
    per_iteration = (closing[-1]["epoch"] + 1) / closing[-1]["iteration"] if closing else 1.0
    windows = any("lr" in r for r in records)
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for record in records:
        for key, value in record.items():
            part, _, name = key.partition("/")
            # The mean of a whole epoch duplicates the windows.
            if part not in ("train", "valid") or (part == "train" and windows and "lr" not in record):
                continue
            if isinstance(value, int | float):
                curves.setdefault((part, name), []).append((record["iteration"] * per_iteration, float(value)))
    return curves


def _curve(axes: Axes, points: list[tuple[float, float]], part: str, number: int, label: str) -> None:
    x, y = zip(*points, strict=True)
    style = look(number)
    if part == "train":
        axes.plot(x, y, color=style["color"], linestyle="--", alpha=0.6, linewidth=1.1)
    else:
        axes.plot(x, y, **style)


def _by_seed(scores: Scores, runs: Runs, experiment: str) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {run: {} for run in runs}
    for (e, run, seed), content in sorted(scores.items()):
        if e == experiment and run in found:
            value = metric_value(content, METRIC, f"scores of {e}, {run}, seed {seed}")
            if value is not None:
                found[run][seed] = 100 * value
    _require(any(found.values()), f"{experiment}, {METRIC}")
    return {run: values for run, values in found.items() if values}


def _class_means(scores: Scores, experiment: str, run: str) -> dict[str, float]:
    seeds = [content["per_class"] for (e, r, _), content in sorted(scores.items()) if (e, r) == (experiment, run)]
    return {c: 100 * statistics.fmean(s[c]["average_AP"] for s in seeds) for c in (seeds[0] if seeds else {})}


def _require(found: Any, what: object) -> None:
    if not found:
        raise TspError(f"{what}: nothing to draw; none of these runs has results yet")
