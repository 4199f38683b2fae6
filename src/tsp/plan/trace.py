"""What made a file: its step, and the files that the step read, down to sources outside the workflow.

Everything comes from the records beside the results (`tsp.io.records`), so a copied results folder can be traced too.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tsp.errors import TspError
from tsp.io import records
from tsp.io.files import read_json, sha256
from tsp.plan.defaults import Setting, plain, settings_of
from tsp.plan.paths import RESULTS, Captions, Training
from tsp.plan.sources import Facts, is_address, place, sources_of, stored

# A larger file is hashed only if its size or time says that it may have been written after its record.
LARGE = 2**28
Record = Mapping[str, Any]
Kind = Literal["made", "source", "stored", "unrecorded"]
State = Literal["unchanged", "changed", "missing", "unchecked"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A job that made a file, as its record has it.

    Args:
        rule: name of the rule.
        wildcards: values by name.
        code: digest of its code.
        modules: digest of each module and resource file of its code.
        settings: its parameters, each with the present default.
        tools: version of each program and package.
        host: the machine.
        started: ISO time.
        seconds: wall time.
        version: version of this library.
        kept: the outputs of an equal earlier job were put back.
        overrides: what the user overrode, such as `resume=anyway`.
        inputs: the files that it read, then its sources.
        outdated: what has changed since, where `track_code: cheap` keeps the output.
        omitted: number of inputs that are not in `inputs`: below the depth, or of other cells.
    """

    rule: str
    wildcards: dict[str, str]
    code: str | None
    modules: dict[str, str]
    settings: list[Setting]
    tools: dict[str, str]
    host: str | None
    started: str | None
    seconds: float | None
    version: str | None
    kept: bool
    overrides: list[str]
    outdated: list[str]
    inputs: list["File"]
    omitted: int


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of the tree.

    Args:
        path: as recorded: `results/...`, a path outside the results, or an address.
        kind: `made` by a step; a `source` outside the workflow; `stored`: a video in a store; `unrecorded`.
        state: the present file compared with `recorded`; addresses, folders and stores are `unchecked`.
        recorded: sha256 of what the step read, or wrote if this is the traced file.
        present: sha256 of the file as it is.
        size: bytes of the file as it is.
        facts: what is recorded of a source or a stored file.
        repeated: its step is in the tree before.
        step: what made it.
    """

    path: str
    kind: Kind
    state: State
    recorded: str | None = None
    present: str | None = None
    size: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    repeated: bool = False
    step: Step | None = None

    def walk(self) -> Iterator["File"]:
        """This file and all below it, in the order of the tree."""
        yield self
        for file in self.step.inputs if self.step else []:
            yield from file.walk()


def trace(
    file: str | Path,
    results: Path | None = None,
    *,
    depth: int | None = None,
    row: str | None = None,
    column: str | None = None,
) -> File:
    """What made a file.

    Args:
        file: a path, or one within the results folder as recorded.
        results: results folder; None: the one that holds `file`, or else `results`.
        depth: levels of inputs; None: all.
        row: run or label of a row; only for a table.
        column: title, metric, or experiment and metric of a column; only for a table.

    Raises:
        TspError: no record of the file; no such row or column.
    """
    folder, path = locate(file, results)
    tracer = Tracer(folder)
    record = tracer.record(path)
    if record is None and stored(place(folder, path)) is None:
        raise TspError(_no_record(path, tracer))
    only = None
    if row is not None or column is not None:
        only = cell_inputs(record or {}, path, row, column)
    return tracer.file(path, str((record or {}).get("sha256") or "") or None, depth, only)


def _no_record(path: str, tracer: "Tracer") -> str:
    folder = tracer.results / records.FOLDER.name
    if not place(tracer.results, path).exists():
        return f"{path}: no such file and no record of it in {folder}; name a file of the results, or use --results"
    if not path.startswith(f"{RESULTS}/"):
        return f"{path}: not an output of the workflow; name a file of the results, or use --results"
    return (
        f"{path}: no record in {folder}: the file was made by an earlier version or copied without that folder; run its"
        " step again (delete the file, then snakemake), or copy the folder too"
    )


def locate(file: str | Path, results: Path | None) -> tuple[Path, str]:
    """The results folder, and the path of a file as records have it."""
    absolute = Path(os.path.normpath(Path.cwd() / file))
    if results is None:
        holds = [parent for parent in absolute.parents if (parent / records.FOLDER.name / RESULTS).is_dir()]
        results = holds[0] if holds else Path(RESULTS)
        results = results.relative_to(Path.cwd()) if results.is_relative_to(Path.cwd()) else results
    root = Path(os.path.normpath(Path.cwd() / results))
    if absolute.is_relative_to(root):
        return results, str(RESULTS / absolute.relative_to(root))
    if Path(file).is_absolute() or Path(file).parts[:1] == (RESULTS,):
        return results, str(file)
    below = Path(os.path.normpath(root / file))
    recorded = str(RESULTS / below.relative_to(root)) if below.is_relative_to(root) else str(file)
    exists = below.is_file() or (root / records.FOLDER.name / f"{recorded}.json").is_file()
    return results, recorded if exists else str(file)


class Tracer:
    """Reads records and compares present files with them, each once.

    Args:
        results: results folder; the paths in records are relative to the folder that holds it.
    """

    def __init__(self, results: Path) -> None:
        self.results = results
        self._expanded: dict[str, float] = {}  # levels of inputs in the tree
        self._present: dict[str, tuple[str | None, int | None]] = {}

    def record(self, path: str) -> Record | None:
        """The record of an output; None without one."""
        file = self._record_file(path)
        if not file.is_file():
            return None
        found = read_json(file)
        if not isinstance(found, Mapping):
            raise TspError(f"{file}: expected a record, a JSON object; delete it and run the step again")
        return found

    def file(self, path: str, recorded: str | None, depth: int | None = None, only: set[str] | None = None) -> File:
        """A file and, unless the tree has it already, its step.

        Args:
            path: as recorded.
            recorded: sha256 of what was read or written.
            depth: levels of inputs below; None: all.
            only: inputs to follow; None: all.
        """
        record = self.record(path)
        if record is None and (facts := stored(place(self.results, path))) is not None:
            return replace(self.source(path, facts), kind="stored")
        present, size = self.present(path)
        state = compared(recorded, present, size)
        if record is None:
            outside = not path.startswith(f"{RESULTS}/")
            kind: Kind = "source" if outside else "unrecorded"
            return File(path=path, kind=kind, state=state, recorded=recorded, present=present, size=size)
        levels = math.inf if depth is None else depth
        repeated = self._expanded.get(path, -1) >= levels
        if not repeated:
            self._expanded[path] = levels
        step = None if repeated else self._step(path, record, depth, only)
        found = File(path=path, kind="made", state=state, recorded=recorded, present=present, size=size)
        return replace(found, repeated=repeated, step=step)

    def source(self, name: str, facts: Facts) -> File:
        """A file or an address outside the workflow, with what is recorded of it."""
        recorded = facts.get("sha256")
        if is_address(name):
            return File(path=name, kind="source", state="unchecked", recorded=recorded, facts=facts)
        present, size = self.present(name, facts)
        state = compared(recorded, present, size)
        return File(path=name, kind="source", state=state, recorded=recorded, present=present, size=size, facts=facts)

    def present(self, path: str, facts: Facts | None = None) -> tuple[str | None, int | None]:
        """Sha256 and bytes of a file as it is; no sha256 if it cannot be read, neither if it is missing.

        Args:
            path: as recorded.
            facts: size, time and sha256 of a source; equal size and time mean equal content.
        """
        if path not in self._present:
            self._present[path] = self._measure(path, facts or {})
        return self._present[path]

    def _measure(self, path: str, facts: Facts) -> tuple[str | None, int | None]:
        file = place(self.results, path)
        try:
            stat = file.stat()
        except (OSError, ValueError):
            return None, None
        if file.is_dir():
            return None, 0
        if facts.get("sha256") and (facts.get("bytes"), facts.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns):
            return str(facts["sha256"]), stat.st_size
        if stat.st_size > LARGE and (record := self.record(path)) is not None:
            older = stat.st_mtime <= self._record_file(path).stat().st_mtime
            if older and record.get("bytes") == stat.st_size:
                return record.get("sha256"), stat.st_size
        try:
            return sha256(file), stat.st_size
        except OSError:  # not readable
            return None, stat.st_size

    def _record_file(self, path: str) -> Path:
        return self.results / records.FOLDER.name / f"{path}.json"

    def _step(self, path: str, record: Record, depth: int | None, only: set[str] | None) -> Step:
        read = dict(record.get("inputs") or {})
        sources = sources_of(self.results, path, record)
        followed = sorted((name for name in read if only is None or name in only), key=natural)
        inputs: list[File] = []
        if depth is None or depth > 0:
            below = None if depth is None else depth - 1
            inputs = [self.file(name, read[name], below) for name in followed]
            inputs += [self.source(name, sources[name]) for name in sorted(sources, key=natural) if only is None]
        return Step(
            rule=str(record.get("rule")),
            wildcards=dict(record.get("wildcards") or {}),
            code=record.get("code"),
            modules=dict(record.get("modules") or {}),
            settings=settings_of(str(record.get("rule")), _params(record)),
            tools=dict(record.get("tools") or {}),
            host=record.get("host"),
            started=record.get("started"),
            seconds=record.get("seconds"),
            version=record.get("version"),
            kept=bool(record.get("kept")),
            overrides=list(record.get("overrides") or []),
            outdated=list(record.get("outdated") or []),
            inputs=inputs,
            omitted=len(read) + len(sources) - len(inputs),
        )


def _params(record: Record) -> dict[str, Any]:
    """Parameters of a step; those of one that resolves an entry of the configuration are complete."""
    params = dict(record.get("params") or {})
    if isinstance(record.get("resolved"), Mapping):
        params["entry"] = {name: value for name, value in record["resolved"].items() if name != "name"}
    return params


def compared(recorded: str | None, present: str | None, size: int | None) -> State:
    """State of a file from its recorded and its present checksum, and its present size, None if it is missing."""
    if size is None:
        return "missing"
    if recorded is None or present is None:
        return "unchecked"
    return "unchanged" if present == recorded else "changed"


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that has shard 10 after shard 9."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"([0-9]+)", name)]


def cell_inputs(record: Record, path: str, row: str | None, column: str | None) -> set[str]:
    """Inputs of a table from which the cells of a row and a column are computed: their scores of all seeds.

    Raises:
        TspError: not a table; no such row or column.
    """
    params = record.get("params") or {}
    entry = params.get("entry") or {}
    if record.get("rule") != "table" or "rows" not in entry or "columns" not in entry:
        raise TspError(f"{path}: not a table; --row and --column need a file of {RESULTS}/tables")
    rows: dict[str, set[str]] = {r["label"]: {r["run"]} for r in entry["rows"]}
    rows |= {d["title"]: {d["minuend"], d["subtrahend"]} for d in entry.get("differences") or ()}
    runs = {r["run"] for r in entry["rows"]}
    if row is not None:
        if row not in rows and row not in runs:
            raise TspError(f"{path}: no row {row!r}; there are {_listed([*rows, *sorted(runs)])}")
        runs = rows.get(row) or {row}
    columns = {c["title"]: c["experiment"] for c in entry["columns"]}
    spelt = [(c["title"], c["metric"], f"{c['experiment']} {c['metric']}", c["experiment"]) for c in entry["columns"]]
    if column is not None and not any(column in names for names in spelt):
        raise TspError(f"{path}: no column {column!r}; there are {_listed(columns)}")
    experiments = {names[-1] for names in spelt if column is None or column in names}
    wanted = {
        pattern.format(experiment=experiment, captioning=experiment, run=run, seed=seed)
        for experiment, run, seed in map(tuple, params.get("cells") or ())
        if experiment in experiments and run in runs
        for pattern in (Training.SCORES, Captions.SCORES)
    }
    return wanted & set(record.get("inputs") or {})


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in dict.fromkeys(names))


def as_json(file: File) -> dict[str, Any]:
    """The whole tree as plain values, for JSON."""
    found: dict[str, Any] = {
        "path": file.path,
        "kind": file.kind,
        "state": file.state,
        "sha256": file.recorded,
        "present_sha256": file.present,
        "bytes": file.size,
    }
    if file.kind in ("source", "stored"):
        found["facts"] = plain(file.facts)
    if file.repeated:
        found["repeated"] = True
    if file.step is not None:
        step = dict(vars(file.step))
        step["settings"] = {setting.key: _setting(setting) for setting in file.step.settings}
        step["inputs"] = [as_json(inner) for inner in file.step.inputs]
        found["step"] = step
    return found


def _setting(setting: Setting) -> dict[str, Any]:
    default = {"default": setting.default} if setting.known else {}
    return {"value": setting.value, **default, "differs": setting.differs}
