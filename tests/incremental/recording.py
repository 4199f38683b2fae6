"""What a real step reads: modules, files of the repository and options, seen from outside while it runs.

Independent of `tsp.plan.identity`, which states the same from the source text. Started by the fork server in place of
the script; one JSON file per job in `$CAMPAIGN_RECORDS`.
"""

import dataclasses
import json
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any

PREAMBLE = re.compile(r"^######## snakemake preamble start.*?^######## snakemake preamble end #########\n", re.S | re.M)


def job_of(script: str) -> Any:
    """The `snakemake` object of a script that Snakemake wrote."""
    preamble = PREAMBLE.match(Path(script).read_text(encoding="utf-8"))
    assert preamble is not None
    values: dict[str, Any] = {"__file__": script}
    exec(preamble.group(), values)
    return values["snakemake"]


def run(script: str) -> None:
    """Run a step and write down what it reads."""
    job = job_of(script)
    root = Path(job.scriptdir).resolve().parents[1]
    opened: set[str] = set()
    options: list[Any] = []

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str) and "w" not in str(arguments[1]):
            opened.add(arguments[0])

    sys.addaudithook(audit)
    _watch_options(job, options)
    _watch_defaults(Path(os.environ["CAMPAIGN_RECORDS"]) / f"defaults-{os.getpid()}")
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        modules = sorted(n for n, m in list(sys.modules.items()) if n.split(".")[0] == "tsp" and hasattr(m, "__file__"))
        files = sorted(
            {str(p.relative_to(root)) for name in opened if (p := Path(name).resolve()).is_relative_to(root)}
        )
        files = [f for f in files if not f.endswith((".py", ".pyc")) and (root / f).is_file()]
        late = Path(os.environ["CAMPAIGN_RECORDS"]) / f"defaults-{os.getpid()}"
        defaults = sorted(set(late.read_text().split()) if late.exists() else set())
        document = {
            "rule": job.rule,
            "script": f"workflow/scripts/{Path(script).name.split('.', 1)[1]}",
            "wildcards": dict(job.wildcards.items()),
            "modules": modules,
            "files": files,
            "options": options,
            "defaults": defaults,
        }
        name = "-".join([job.rule, *map(str, job.wildcards)]).replace("/", "_")
        (Path(os.environ["CAMPAIGN_RECORDS"]) / f"{name}.json").write_text(json.dumps(document, indent=1))


def _watch_options(job: Any, found: list[Any]) -> None:
    """Option classes that are built from a parameter or from a configuration file among the inputs."""
    from pydantic import TypeAdapter

    original = TypeAdapter.validate_python

    def validate_python(self: Any, values: Any, *rest: Any, **named: Any) -> Any:
        cls = self._type
        if dataclasses.is_dataclass(cls) and isinstance(values, dict):
            entry = {"class": f"{cls.__module__}:{cls.__qualname__}", "values": plain(values), **_source(job, values)}
            if entry not in found:
                found.append(entry)
        return original(self, values, *rest, **named)

    TypeAdapter.validate_python = validate_python  # type: ignore[method-assign]


def plain(value: Any) -> Any:
    """Through JSON, so that tuples and lists compare equal."""
    return json.loads(json.dumps(value, default=str))


def _source(job: Any, values: Any) -> dict[str, Any]:
    """Where in the job's parameters or configuration files the values stand."""
    wanted = plain(values)
    for name, value in job.params.items():
        if plain(value) == wanted:
            return {"from": ["params", name]}
    for name, value in configurations(job).items():
        for path, part in parts(value):
            if part == wanted and wanted:
                return {"from": ["input", name, *path]}
    return {}


def configurations(job: Any) -> dict[str, Any]:
    """Content of the YAML files among a job's inputs."""
    import yaml

    paths = [str(path) for path in job.input if str(path).endswith(".yaml")]
    return {path: yaml.safe_load(Path(path).read_text()) for path in paths if Path(path).exists()}


def parts(value: Any, path: tuple[str, ...] = ()) -> Any:
    """A mapping and all mappings in it, with their paths."""
    if isinstance(value, dict):
        yield list(path), value
        for key, inner in value.items():
            yield from parts(inner, (*path, str(key)))


def _watch_defaults(file: Path) -> None:
    """Fields whose default is used by code that makes an instance itself; worker processes write to the same file."""
    original = dataclasses._process_class  # type: ignore[attr-defined]

    def process(cls: Any, *rest: Any, **named: Any) -> Any:
        made = original(cls, *rest, **named)
        if made.__module__.split(".")[0] == "tsp":
            _count_defaults(made, file)
        return made

    dataclasses._process_class = process  # type: ignore[attr-defined]


def _count_defaults(cls: Any, file: Path) -> None:
    init, names, seen = cls.__init__, [f.name for f in dataclasses.fields(cls) if f.init], set()

    def counted(self: Any, *given: Any, **named: Any) -> None:
        for name in names[len(given) :]:
            if name not in named and name not in seen:
                seen.add(name)
                with file.open("a") as out:
                    out.write(f"{cls.__module__}:{cls.__qualname__}.{name}\n")
        init(self, *given, **named)

    cls.__init__ = counted


def merged(folder: Path) -> dict[str, Any]:
    """All records of a build, by rule and wildcards."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return {key_of(entry["rule"], entry["wildcards"]): entry for entry in found}


def key_of(rule: str, wildcards: dict[str, str]) -> str:
    """Rule and wildcards that choose code: not seed, shard or stride."""
    return json.dumps(
        [rule, {k: v for k, v in wildcards.items() if k not in ("seed", "shard", "stride")}], sort_keys=True
    )


def record_for(rule: str, wildcards: dict[str, str], records: dict[str, Any]) -> dict[str, Any] | None:
    """The record of the same job, or of the most similar one of the rule."""
    exact = records.get(key_of(rule, wildcards))
    if exact is not None:
        return dict(exact)
    same = [entry for entry in records.values() if entry["rule"] == rule]

    def alike(entry: dict[str, Any]) -> int:
        # An experiment chooses a method, a table nothing.
        return sum((k == "experiment") * 10 + 1 for k, v in entry["wildcards"].items() if wildcards.get(k) == v)

    return dict(max(same, key=alike)) if same else None
