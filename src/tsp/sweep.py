"""Grid search over post-processing options on the raw predictions of one training; no network runs."""

import itertools
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tsp.config.experiments import ResolvedExperiment
from tsp.config.load import build, merge, read_config
from tsp.errors import TspError
from tsp.evaluation.detection import ACTIVITYNET_TIOUS, detection_map
from tsp.evaluation.proposals import proposal_recall
from tsp.io.files import atomic
from tsp.io.tables import write_table
from tsp.localise.method import Raw
from tsp.progress import progress
from tsp.resolve import resolve

log = logging.getLogger(__name__)
RECALLS = (1, 10, 100)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Files of one training.

    Args:
        config: resolved experiment, `results/experiments/<experiment>/config.yaml`.
        raw: its raw.h5.
        annotations: canonical annotations.
        labels: video-level class scores; None: the method predicts classes.
        subset: the annotations' name of the evaluated subset.
    """

    config: Path
    raw: Path
    annotations: Path
    labels: Path | None
    subset: str


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Result of a sweep.

    Args:
        options: names of the options tried.
        table: a row per combination: the options, then the scores in percent.
    """

    options: list[str]
    table: pd.DataFrame

    @property
    def scores(self) -> list[str]:
        """Names of the score columns."""
        return [name for name in self.table.columns if name not in self.options]


def sweep(inputs: Inputs, grid: Mapping[str, Sequence[Any]], tious: Sequence[float] = ACTIVITYNET_TIOUS) -> Sweep:
    """Score every combination of the options' values.

    Args:
        inputs: the training.
        grid: option of post-processing (`windows.longest_frames` for one of a nested part) -> values.
        tious: thresholds of the detections.

    Returns:
        Average mAP and mAP at each threshold; AUC and AR@1, @10, @100 of the proposals.

    Raises:
        TspError: not an option of post-processing, or an invalid value.
    """
    experiment = read_config(inputs.config, ResolvedExperiment).experiment
    method = resolve(experiment.method)
    _check(grid, getattr(method, "POST_PROCESS", ()), experiment.method)
    if inputs.labels is None and experiment.labels is not None:
        raise TspError(f"{experiment.method}: needs video-level class scores: --labels")
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    configs = [_with(method.Config, experiment.settings, chosen) for chosen in combinations]
    rows = []
    for chosen, config in zip(combinations, progress(configs, desc="sweep", unit="combination"), strict=True):
        scores = _score(method, config, inputs, tious)
        log.info("%s: average mAP %.2f", _described(chosen), scores["average_mAP"])
        rows.append({**{name: _plain(value) for name, value in chosen.items()}, **scores})
    return Sweep(options=list(grid), table=pd.DataFrame(rows))


def _check(grid: Mapping[str, Sequence[Any]], allowed: Sequence[str], method: str) -> None:
    if not grid:
        raise TspError("nothing to sweep: name at least one option, such as nms_keep=100,200")
    for name, values in grid.items():
        if name not in allowed:
            listed = ", ".join(allowed)
            raise TspError(f"{name!r} is not an option of the post-processing of {method}; allowed: {listed}")
        if not values:
            raise TspError(f"{name}: no values to try")


def _with(cls: type[Any], settings: Mapping[str, Any], chosen: Mapping[str, Any]) -> Any:
    changed = dict(settings)
    for name, value in chosen.items():
        part, _, inner = name.partition(".")
        if inner and changed[part] is None:
            raise TspError(f"{name}: this experiment has no {part}")
        changed = merge(changed, {part: {inner: value}} if inner else {name: value})
    return build(cls, changed, _described(chosen))


def _score(method: Any, config: Any, inputs: Inputs, tious: Sequence[float]) -> dict[str, float]:
    raw = Raw(path=inputs.raw, annotations=inputs.annotations, subset=inputs.subset)
    with tempfile.TemporaryDirectory() as folder:
        detections, proposals = Path(folder) / "predictions.json", Path(folder) / "proposals.json"
        method.post_process(config, raw, labels=inputs.labels, output=detections)
        method.propose(config, raw, output=proposals)
        found = detection_map(inputs.annotations, detections, inputs.subset, tious)
        recall = proposal_recall(inputs.annotations, proposals, inputs.subset)
    scores = {"average_mAP": 100 * found.average_map}
    scores |= {f"mAP@{t:.2f}": 100 * float(value) for t, value in zip(found.tious, found.mean_ap, strict=True)}
    return scores | {"AUC": recall.auc} | {f"AR@{n}": 100 * float(recall.average_recall[n - 1]) for n in RECALLS}


def write_sweep(found: Sweep, csv: Path, md: Path) -> None:
    """Write the table as CSV, and as Markdown with the best of each score in bold."""
    write_table(found.table, csv)
    with atomic(md) as temporary:
        temporary.write_text("\n".join(markdown(found)) + "\n", encoding="utf-8")


def markdown(found: Sweep) -> list[str]:
    """Lines of a Markdown table; percent, the best of each score in bold."""
    columns = list(found.table.columns)
    best = {name: found.table[name].max() for name in found.scores}
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in found.table.to_dict("records"):
        cells = [_cell(row[name], best.get(name)) for name in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(value: Any, best: float | None) -> str:
    if best is None:
        return str(value)
    return f"**{value:.2f}**" if value == best else f"{value:.2f}"


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _described(chosen: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in chosen.items())
