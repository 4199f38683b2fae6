"""Configuration: YAML to Settings, every fault at once; resolved files for the steps.

The only module that imports pydantic. Settings exists to check references and to name targets; library
functions take their own small dataclass.
"""

import contextlib
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tsp.caption.config import CaptioningConfig
from tsp.caption.config import Config as CaptionConfig
from tsp.config.settings import ExperimentConfig, Settings
from tsp.datasets.config import DatasetConfig
from tsp.encoders.config import EncoderConfig
from tsp.errors import TspError
from tsp.io.files import atomic, read_json, read_text
from tsp.pretrain.config import RunConfig
from tsp.report.config import TableConfig
from tsp.resolve import resolve
from tsp.video.config import StandardiseConfig

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
# The safe loader in C where PyYAML was built with it: ten times faster on files read at every start.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FILES = ("config.yaml", "runs.yaml", "experiments.yaml", "tables.yaml")


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make a frozen dataclass from plain values; strings such as "3" or "true" are read as their type.

    Raises:
        TspError: every unknown key, wrong type and bad choice, one line each, behind `where`.
    """
    try:
        return _adapter(cls).validate_python(dict(values))
    except ValidationError as error:
        raise TspError("\n".join(f"{where}: {fault}" for _, fault in _faults(cls, error))) from None


def read_config(path: str | Path, cls: type[T]) -> T:
    """Read a resolved YAML file of a run or experiment."""
    return build(cls, read_yaml(path), str(path))


def write_config(path: str | Path, config: Any) -> None:
    """Write a dataclass (or plain mapping) as YAML, keys in declared order."""
    data = asdict(config) if is_dataclass(config) and not isinstance(config, type) else config
    with atomic(path) as temporary:
        # Through JSON: tuples become lists, and nothing but plain values may pass.
        temporary.write_text(yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that must hold a mapping."""
    try:
        data = yaml.load(read_text(path), Loader=LOADER)
    except yaml.YAMLError as error:
        raise TspError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise TspError(f"{path}: expected a mapping of keys at the top level")
    return data


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, mappings merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merge(old, value)
        merged[key] = value
    return merged


def read_folder(
    folder: Path = ROOT / "config", overlays: Iterable[Path] = (), preset: str | None = None
) -> tuple[dict[str, Any], list[Path]]:
    """The merged four files, the demo overlay where the preset asks for it, then `overlays`; and their paths."""
    files = [folder / name for name in FILES]
    overlays = list(overlays)
    stated = [read_yaml(path).get("preset") for path in (files[0], *overlays)]
    chosen = preset or [p for p in stated if p][-1]
    files += [folder / "demo.yaml"] * (chosen == "demo") + overlays
    values: dict[str, Any] = {}
    for path in files:
        values = merge(values, read_yaml(path))
    return {**values, "preset": chosen}, files


def check_settings(values: Mapping[str, Any], files: Iterable[Path] = ()) -> Settings:
    """Build Settings and check every reference.

    Args:
        values: the merged configuration.
        files: where it came from, in order of merging, to name the file of each fault.

    Raises:
        TspError: all faults, one line each: file, key, value, what is allowed.
    """
    written = values.get("runs")
    values, faults = _with_bases(values)
    sources = [(path, read_yaml(path)) for path in files]
    broken = {loc[:2] for loc, _ in faults}
    settings = None
    try:
        settings = _adapter(Settings).validate_python(values)
    except ValidationError as error:
        found = _faults(Settings, error)
        faults += [fault for fault in found if fault[0][:2] not in broken]
        # What is left without the broken entries is still checked for its references.
        broken |= {loc[:2] for loc, _ in found}
        with contextlib.suppress(ValidationError):
            settings = _adapter(Settings).validate_python(_without(values, broken))
    if settings is not None:
        names = {loc[-1] for loc in broken}
        faults += [fault for fault in _references(settings) if not any(repr(n) in fault[1] for n in names)]
    # A run repeats the faults of its base; they are told once, where they are written.
    faults = [fault for fault in faults if not _is_inherited(fault[0], written)] or faults
    if faults or settings is None:
        lines = [f"{_file_of(loc, sources)}{text}" for loc, text in faults]
        raise TspError("the configuration has " + _count(len(lines)) + "\n  " + "\n  ".join(lines))
    return settings


def run_entry(values: Mapping[str, Any], run: str) -> dict[str, Any]:
    """What the user wrote of a run, its base filled in: the part of the configuration that the run depends on."""
    entry = values["runs"][run]
    return merge(values["runs"].get(entry.get("base"), {}), {k: v for k, v in entry.items() if k != "base"})


@dataclass(frozen=True, kw_only=True)
class ResolvedRun:
    """`results/pretrain/<run>/config.yaml`."""

    name: str
    """The run."""
    run: RunConfig
    """All its fields, defaults included."""
    encoder: EncoderConfig
    """Its encoder."""


@dataclass(frozen=True, kw_only=True)
class ResolvedExperiment:
    """`results/experiments/<experiment>/config.yaml`."""

    name: str
    """The experiment."""
    experiment: ExperimentConfig
    """Its entry, with the method's settings completed."""


def resolve_experiment(name: str, entry: Mapping[str, Any]) -> ResolvedExperiment:
    """Import the method of an experiment, check its settings and fill in their defaults."""
    experiment = build(ExperimentConfig, entry, f"experiments.{name}")
    module = resolve(experiment.method)
    if (experiment.refines is not None) != getattr(module, "REFINES", False):
        wants = "refines no proposals" if experiment.refines else "refines proposals: say of which experiment or files"
        raise TspError(f"experiments.{name}.refines: {experiment.method} {wants}")
    settings = asdict(build(module.Config, experiment.settings, f"experiments.{name}.settings"))
    return ResolvedExperiment(name=name, experiment=replace(experiment, settings=settings))


def read_experiment(path: str | Path, changes: Mapping[str, Any] | None = None) -> tuple[Any, Any]:
    """The method's module and its Config, from a resolved experiment.

    Args:
        path: its config.yaml.
        changes: options of post-processing to have otherwise.

    Raises:
        TspError: `changes` names another option.
    """
    experiment = read_config(path, ResolvedExperiment).experiment
    module = resolve(experiment.method)
    wrong = [name for name in changes or {} if name not in module.POST_PROCESS]
    if wrong:
        allowed = ", ".join(module.POST_PROCESS)
        raise TspError(f"refines.settings: {wrong[0]!r} is no option of post-processing; allowed: {allowed}")
    return module, build(module.Config, merge(experiment.settings, changes or {}), str(path))


@dataclass(frozen=True, kw_only=True)
class ResolvedCaptions:
    """`results/captions/<name>/config.yaml`."""

    name: str
    """The entry of `captions:`."""
    config: CaptionConfig
    """Both networks, defaults included."""


def resolve_captions(name: str, entry: Mapping[str, Any]) -> ResolvedCaptions:
    """Check an entry of `captions:` and fill in the defaults of its settings."""
    settings = build(CaptioningConfig, entry, f"captions.{name}").settings
    return ResolvedCaptions(name=name, config=build(CaptionConfig, settings, f"captions.{name}.settings"))


def schema() -> dict[str, Any]:
    """JSON schema of Settings with the docstring of each field as description."""
    document = _adapter(Settings).json_schema()
    # A run may be written as a base and its differences, so `base` is allowed and nothing is required.
    document["$defs"]["RunConfig"]["properties"]["base"] = {
        "type": "string",
        "description": "Run to start from.",
    }
    document["$defs"]["RunConfig"].pop("required", None)
    return document


def _adapter(cls: type[T]) -> TypeAdapter[T]:
    _forbid_unknown(cls)
    return TypeAdapter(cls)


def _forbid_unknown(cls: Any) -> None:
    if is_dataclass(cls) and "__pydantic_config__" not in vars(cls):
        setattr(cls, "__pydantic_config__", ConfigDict(extra="forbid", use_attribute_docstrings=True))  # noqa: B010
    for inner in fields(cls) if is_dataclass(cls) else ():
        for part in _parts(inner.type):
            if "__pydantic_config__" not in vars(part):
                _forbid_unknown(part)


def _parts(annotation: Any) -> list[type]:
    if isinstance(annotation, type) and is_dataclass(annotation):
        return [annotation]
    return [part for arg in getattr(annotation, "__args__", ()) for part in _parts(arg)]


def _faults(cls: Any, error: ValidationError) -> list[tuple[tuple[str, ...], str]]:
    found = []
    for item in error.errors(include_url=False):
        loc = tuple(str(part) for part in item["loc"])
        key = ".".join(loc)
        if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            allowed = _allowed(cls, loc[:-1])
            guess = difflib.get_close_matches(loc[-1], allowed, 1)
            hint = f"did you mean {guess[0]!r}? " if guess else ""
            found.append((loc, f"{key}: unknown key; {hint}allowed: {', '.join(allowed)}"))
        elif item["type"].startswith("missing"):
            found.append((loc, f"{key}: this key is required"))
        else:
            text = item["msg"][0].lower() + item["msg"][1:]
            # A fault between keys names their values itself.
            shown = f"{key}: " if isinstance(item["input"], Mapping) else f"{key}: {item['input']!r}: "
            found.append((loc, (shown if key else "") + text.removeprefix("value error, ")))
    return found


def _allowed(cls: Any, loc: tuple[str, ...]) -> list[str]:
    """Field names of the dataclass at a path; a step that is no field is a key of a dict."""
    for part in loc:
        names = {f.name: f.type for f in fields(cls)} if is_dataclass(cls) else {}
        inner = _parts(names[part]) if part in names else [cls]
        if not inner:
            return []
        cls = inner[0]
    return [f.name for f in fields(cls)] if is_dataclass(cls) else []


def _with_bases(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[tuple[str, ...], str]]]:
    runs = values.get("runs")
    if not isinstance(runs, Mapping):
        return dict(values), []
    faults: list[tuple[tuple[str, ...], str]] = []
    filled = {}
    for name, entry in runs.items():
        filled[name] = entry
        if not isinstance(entry, Mapping):
            continue
        base = entry.get("base")
        if base is not None and base not in runs:
            faults.append((("runs", name, "base"), f"runs.{name}.base: {base!r} is no run; {_one_of(runs, base)}"))
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


def _references(s: Settings) -> list[tuple[tuple[str, ...], str]]:
    faults: list[tuple[tuple[str, ...], str]] = []

    def check(loc: tuple[str, ...], value: Any, allowed: Iterable[str], kind: str) -> None:
        if value is not None and value not in (names := list(allowed)):
            faults.append((loc, f"{'.'.join(loc)}: {value!r} is no {kind}; {_one_of(names, value)}"))

    for name, dataset in s.datasets.items():
        at = ("datasets", name)
        check((*at, "train"), dataset.train, dataset.subsets, "subset")
        check((*at, "valid"), dataset.valid, dataset.subsets, "subset")
        if dataset.videos is not None and not Path(dataset.videos).is_dir():
            faults.append(((*at, "videos"), f"datasets.{name}.videos: {dataset.videos!r}: no such folder"))
        try:
            build(StandardiseConfig, dataset.standardise, "")
        except TspError as error:
            faults += [
                ((*at, "standardise"), f"datasets.{name}.standardise{e[2:].join(['.', ''])}")
                for e in str(error).split("\n")
            ]
    for name, run in s.runs.items():
        at = ("runs", name)
        check((*at, "dataset"), run.dataset, s.datasets, "data set")
        check((*at, "classes"), run.classes, s.datasets, "data set")
        check((*at, "encoder"), run.encoder, s.encoders, "encoder")
        check((*at, "start"), run.start, s.runs, "run")
    for name, experiment in s.experiments.items():
        at = ("experiments", name)
        check((*at, "dataset"), experiment.dataset, s.datasets, "data set")
        if experiment.labels and not Path(experiment.labels).suffix:
            check((*at, "labels"), experiment.labels, s.runs, "run (or file of class scores)")
        if experiment.refines is not None:
            own = [n for n, e in s.experiments.items() if e.dataset == experiment.dataset and e.refines is None]
            kind = f"experiment on {experiment.dataset} that makes proposals"
            check((*at, "refines"), experiment.refines.experiment, own, kind)
            check((*at, "refines"), experiment.refines.run, s.runs, "run")
    for name, table in s.tables.items():
        for row in table.rows:
            check(("tables", name, "rows"), row.run, s.runs, "run")
        for column in table.columns:
            check(("tables", name, "columns"), column.experiment, {**s.experiments, **s.captions}, "experiment")
        faults += [(("tables", name, "rows"), f"tables.{name}.rows: {text}") for text in _unreleased(s, table)]
    for name, captioning in s.captions.items():
        check(("captions", name, "dataset"), captioning.dataset, s.datasets, "data set")
        if name in s.experiments:
            faults.append((("captions", name), f"captions.{name}: there is an experiment of that name"))
        try:
            build(CaptionConfig, captioning.settings, f"captions.{name}.settings")
        except TspError as error:
            faults += [(("captions", name, "settings"), line) for line in str(error).split("\n")]
    captioned = {name for name, t in s.tables.items() if any(c.experiment in s.captions for c in t.columns)}
    for key in ("tables", "ablations", "captions"):
        allowed = {"tables": s.tables.keys(), "ablations": s.tables.keys() - captioned, "captions": captioned}[key]
        for table_name in getattr(s.build, key):
            check(("build", key), table_name, allowed, "table of captions" if key == "captions" else "table")
    return faults


def _unreleased(s: Settings, table: TableConfig) -> list[str]:
    """Features that a table needs of runs that only have what was released."""
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


def _one_of(names: Iterable[str], value: Any) -> str:
    listed = list(names)
    guess = difflib.get_close_matches(str(value), listed, 1)
    return (f"did you mean {guess[0]!r}? " if guess else "") + "allowed: " + ", ".join(listed)


def _file_of(loc: tuple[str, ...], sources: list[tuple[Path, dict[str, Any]]]) -> str:
    """The last file that states the deepest part of a key."""
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


def labels_of(dataset: DatasetConfig) -> list[str]:
    """Action names of a data set in id order."""
    if isinstance(dataset.labels, list):
        return dataset.labels
    path = Path(dataset.labels)
    return list(read_json(path if path.exists() else ROOT / path))
