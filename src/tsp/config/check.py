"""Checks the whole configuration and reports every error at once, each with file, key, value and allowed values.

`Settings` exists to check references and to name targets. Library functions take their own small dataclass.
"""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tsp.caption.config import CaptioningConfig
from tsp.caption.config import Config as CaptionConfig
from tsp.config.load import Fault, adapter, faults_in, faults_of, one_of, read_yaml, run_entry
from tsp.config.settings import ExperimentConfig, Settings
from tsp.errors import TspError
from tsp.report.config import TableConfig
from tsp.video.config import StandardiseConfig


def check_settings(values: Mapping[str, Any], files: Iterable[Path] = ()) -> Settings:
    """Build Settings and check every reference.

    Args:
        values: the merged configuration.
        files: the files it was merged from, in order; they locate each error.

    Raises:
        TspError: all errors, one line each: file, key, value, allowed values.
    """
    written = values.get("runs")
    values, faults = _with_bases(values)
    sources = [(path, read_yaml(path)) for path in files]
    broken = {loc[:2] for loc, _ in faults}
    settings = None
    try:
        settings = adapter(Settings).validate_python(values)
    except ValidationError as error:
        found = faults_of(Settings, error)
        faults += [fault for fault in found if fault[0][:2] not in broken]
        # References are still checked in all entries that are individually valid.
        broken |= {loc[:2] for loc, _ in found}
        with contextlib.suppress(ValidationError):
            settings = adapter(Settings).validate_python(_without(values, broken))
    if settings is not None:
        names = {loc[-1] for loc in broken}
        faults += [fault for fault in _references(settings) if not any(repr(n) in fault[1] for n in names)]
    # A run repeats the errors of its base; they are reported once, where they are written.
    faults = [fault for fault in faults if not _is_inherited(fault[0], written)] or faults
    if faults or settings is None:
        lines = [f"{_file_of(loc, sources)}{text}" for loc, text in faults]
        raise TspError("the configuration has " + _count(len(lines)) + "\n  " + "\n  ".join(lines))
    return settings


def schema() -> dict[str, Any]:
    """JSON schema of Settings with the docstring of each field as description."""
    document = adapter(Settings).json_schema()
    # A run may be written as a base and its differences: `base` is allowed and no key is required.
    document["$defs"]["RunConfig"]["properties"]["base"] = {
        "type": "string",
        "description": "Run to start from.",
    }
    document["$defs"]["RunConfig"].pop("required", None)
    return document


def _with_bases(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    runs = values.get("runs")
    if not isinstance(runs, Mapping):
        return dict(values), []
    faults: list[Fault] = []
    filled = {}
    for name, entry in runs.items():
        filled[name] = entry
        if not isinstance(entry, Mapping):
            continue
        base = entry.get("base")
        if base is not None and base not in runs:
            faults.append((("runs", name, "base"), f"runs.{name}.base: {base!r} is no run; {one_of(runs, base)}"))
        elif base is not None and isinstance(runs[base], Mapping) and "base" in runs[base]:
            faults.append((("runs", name, "base"), f"runs.{name}.base: {base!r} has a base itself; a base has none"))
        filled[name] = run_entry(values, name) if not faults else {k: v for k, v in entry.items() if k != "base"}
    return {**values, "runs": filled}, faults


def _is_inherited(loc: tuple[str, ...], runs: Any) -> bool:
    entry = runs.get(loc[1]) if loc[0] == "runs" and len(loc) > 2 and isinstance(runs, Mapping) else None
    return isinstance(entry, Mapping) and "base" in entry and loc[2] not in entry


def _without(values: Mapping[str, Any], entries: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """`values` without the entries at the given paths of one or two keys."""
    left = dict(values)
    for first, *rest in entries:
        if rest and isinstance(left.get(first), Mapping):
            left[first] = {k: v for k, v in left[first].items() if k != rest[0]}
        else:
            left.pop(first, None)
    return left


def _references(s: Settings) -> list[Fault]:
    faults = [fault for name in s.datasets for fault in _dataset(s, name)]
    faults += [fault for name in s.runs for fault in _run(s, name)]
    faults += [fault for name in s.experiments for fault in _experiment(s, name)]
    faults += [fault for name in s.tables for fault in _table(s, name)]
    faults += [fault for name in s.captions for fault in _captioning(s, name)]
    return faults + _build(s)


def _unknown(loc: tuple[str, ...], value: str | None, allowed: Iterable[str], kind: str) -> list[Fault]:
    """The error of a reference to a name that does not exist, as a list of at most one."""
    names = list(allowed)
    if value is None or value in names:
        return []
    return [(loc, f"{'.'.join(loc)}: {value!r} is no {kind}; {one_of(names, value)}")]


def _dataset(s: Settings, name: str) -> list[Fault]:
    at, dataset = ("datasets", name), s.datasets[name]
    faults = _unknown((*at, "train"), dataset.train, dataset.subsets, "subset")
    faults += _unknown((*at, "valid"), dataset.valid, dataset.subsets, "subset")
    if dataset.videos is not None and not Path(dataset.videos).is_dir():
        faults.append(((*at, "videos"), f"datasets.{name}.videos: {dataset.videos!r}: no such folder"))
    return faults + _settings((*at, "standardise"), StandardiseConfig, dataset.standardise)


def _run(s: Settings, name: str) -> list[Fault]:
    at, run = ("runs", name), s.runs[name]
    return [
        *_unknown((*at, "dataset"), run.dataset, s.datasets, "data set"),
        *_unknown((*at, "classes"), run.classes, s.datasets, "data set"),
        *_unknown((*at, "encoder"), run.encoder, s.encoders, "encoder"),
        *_unknown((*at, "start"), run.start, s.runs, "run"),
    ]


def _experiment(s: Settings, name: str) -> list[Fault]:
    at, experiment = ("experiments", name), s.experiments[name]
    faults = _unknown((*at, "dataset"), experiment.dataset, s.datasets, "data set")
    if experiment.labels and not Path(experiment.labels).suffix:
        faults += _unknown((*at, "labels"), experiment.labels, s.runs, "run (or file of class scores)")
    if experiment.refines is not None:
        own = [n for n, e in s.experiments.items() if e.dataset == experiment.dataset and e.refines is None]
        kind = f"experiment on {experiment.dataset} that makes proposals"
        faults += _unknown((*at, "refines"), experiment.refines.experiment, own, kind)
        faults += _unknown((*at, "refines"), experiment.refines.run, s.runs, "run")
    return faults


def _table(s: Settings, name: str) -> list[Fault]:
    at, table = ("tables", name), s.tables[name]
    faults = [fault for row in table.rows for fault in _unknown((*at, "rows"), row.run, s.runs, "run")]
    for column in table.columns:
        faults += _unknown((*at, "columns"), column.experiment, {**s.experiments, **s.captions}, "experiment")
    return faults + [((*at, "rows"), f"tables.{name}.rows: {text}") for text in _unreleased(s, table)]


def _captioning(s: Settings, name: str) -> list[Fault]:
    at, captioning = ("captions", name), s.captions[name]
    faults = _unknown((*at, "dataset"), captioning.dataset, s.datasets, "data set")
    if name in s.experiments:
        faults.append((at, f"captions.{name}: an experiment has the same name"))
    return faults + _settings((*at, "settings"), CaptionConfig, captioning.settings)


def _build(s: Settings) -> list[Fault]:
    captioned = {name for name, t in s.tables.items() if any(c.experiment in s.captions for c in t.columns)}
    faults = [f for name in s.build.tables for f in _unknown(("build", "tables"), name, s.tables, "table")]
    for name in s.build.ablations:
        faults += _unknown(("build", "ablations"), name, s.tables.keys() - captioned, "table")
    for name in s.build.captions:
        faults += _unknown(("build", "captions"), name, captioned, "table of captions")
    return faults


def _settings(at: tuple[str, ...], cls: type, values: Mapping[str, Any]) -> list[Fault]:
    """Errors in a mapping that is kept as written and becomes a `cls` in the step that reads it."""
    prefix = ".".join(at)
    return [((*at, *loc), f"{prefix}{'.' if loc else ': '}{text}") for loc, text in faults_in(cls, values)]


def _unreleased(s: Settings, table: TableConfig) -> list[str]:
    """Features that a table needs but that were not released for a run without videos."""
    known: dict[str, ExperimentConfig | CaptioningConfig] = {**s.experiments, **s.captions}
    experiments = [known[c.experiment] for c in table.columns if c.experiment in known]
    needed = {
        f"stride{e.stride}/{e.dataset}-{subset}": None
        for e in experiments
        if (d := s.datasets.get(e.dataset))
        for subset in (d.train, d.valid)
    }
    return [
        f"{row.run!r} has no released features {key!r}, only {', '.join(run.features)}"
        for row in table.rows
        if (run := s.runs.get(row.run)) and run.features
        for key in needed
        if key not in run.features
    ]


def _file_of(loc: tuple[str, ...], sources: list[tuple[Path, dict[str, Any]]]) -> str:
    """The last of the merged files that contains the longest part of a key."""
    best, depth = "", 0
    for path, values in sources:
        node: Any = values
        for reached, part in enumerate(loc, 1):
            if not isinstance(node, Mapping) or part not in node:
                break
            node = node[part]
            if reached >= depth:
                best, depth = f"{path}: ", reached
    return best


def _count(n: int) -> str:
    return "1 fault:" if n == 1 else f"{n} faults:"
