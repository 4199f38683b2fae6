"""Steps that write, instead of results, a digest of everything that the results are made of.

Snakemake, the rules, the plan, `run_step` and the records are real. What a step reads is known from a real run of it
(`recording`) and from the source text, not from `tsp.plan.identity`. An output that does not hold the digest of the
present code, settings and inputs is stale: `verify` finds it without a clean build, because a clean build would write
exactly that digest, by induction from the sources to the last file.
"""

import ast
import functools
import hashlib
import importlib
import json
import os
import re
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import Any

from incremental.recording import configurations, plain, record_for

# Parameters that say when a step runs, not what it does.
UNREAD = {"code", "track_code", "written", "rows", "sources", "token"}
# Modules that run and record steps; the same for all of them.
RUNNING = re.compile(r"tsp\.(steps|errors|progress|io\.(records|resume)|plan(\..*)?)")
READERS = {f"tsp.datasets.{name}" for name in ("activitynet", "folder", "synthetic", "thumos14")}
REAL = {"resolve_run", "resolve_experiment", "resolve_captions"}


def run(script: str) -> None:
    """Run a step script whose `main` is replaced; those that resolve a configuration do so."""
    import tsp.steps

    original = tsp.steps.run_step

    def run_step(main: Any, job: Any, **options: Any) -> None:
        original(main if job.rule in REAL else _write_digests, job, **options)

    tsp.steps.run_step = run_step
    runpy.run_path(script, run_name="__main__")


def _write_digests(job: Any) -> None:
    root = Path(job.scriptdir).resolve().parents[1]
    for path in job.output:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content(root, job.rule, dict(job.wildcards.items()), job, str(path)))


def content(root: Path, rule: str, wildcards: dict[str, str], job: Any, path: str) -> str:
    """What a step writes into one output."""
    if path.endswith("origin/annotations.json"):
        return _annotations(root, rule, wildcards, job)
    return json.dumps({"of": path, **parts(root, rule, wildcards, job)}, indent=1, sort_keys=True)


def _annotations(root: Path, rule: str, wildcards: dict[str, str], job: Any) -> str:
    """Planning reads raw annotations: real names, and the digest as their version."""
    database = {
        f"{subset}_{number:03d}": {"subset": subset, "duration": 20.0, "annotations": []}
        for subset, count in (("training", job.params.config["n_train"]), ("validation", job.params.config["n_valid"]))
        for number in range(count)
    }
    return json.dumps({"version": _hash(parts(root, rule, wildcards, job)), "taxonomy": [], "database": database})


def parts(root: Path, rule: str, wildcards: dict[str, str], job: Any) -> dict[str, Any]:
    """Digests of all that a step reads, by kind, so that a difference can be named."""
    script = _script(root, rule)
    record = record_for(rule, wildcards, _records()) or {}
    used = frozenset(record.get("defaults", []))
    names = [n for n in record.get("modules", []) if not RUNNING.fullmatch(n) and not _is_other_reader(n, job)]
    modules = {n: module_code(root, n, used) for n in names}
    return {
        "script": code_of_text(script.read_text(encoding="utf-8"), "", frozenset()),
        "modules": modules,
        "resources": {name: _sha(root / name) for name in record.get("files", []) if (root / name).exists()},
        "params": {k: plain(v) for k, v in job.params.items() if k not in UNREAD},
        "options": [_options(entry, job) for entry in record.get("options", [])],
        "inputs": {str(p): _sha(Path(p)) for p in job.input if Path(p).is_file()},
        "wildcards": wildcards,
    }


def _is_other_reader(module: str, job: Any) -> bool:
    """Whether a module reads annotations of another form: the records are of another configuration."""
    listing = job.params.get("dataset")
    reader = listing["reader"].partition(":")[0] if isinstance(listing, Mapping) and "reader" in listing else ""
    return bool(reader) and module in READERS and module != reader


@functools.cache
def _records() -> dict[str, Any]:
    return dict(json.loads(Path(os.environ["CAMPAIGN_CLOSURES"]).read_text()))


@functools.cache
def _script(root: Path, rule: str) -> Path:
    text = "\n".join(path.read_text() for path in sorted((root / "rules").glob("*.smk")))
    inherited = re.search(rf"^use rule (\w+) as {rule} with:", text, re.M)
    block = re.search(rf"^rule {inherited.group(1) if inherited else rule}:(.*?)(?=^\S|\Z)", text, re.M | re.S)
    assert block is not None, rule
    found = re.search(r'"\.\./(workflow/scripts/\w+\.py)"', block.group(1))
    assert found is not None, rule
    return root / found.group(1)


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _options(entry: Mapping[str, Any], job: Any) -> Any:
    """The options as the step would build them now, from the values and the defaults that it would read."""
    module, _, name = entry["class"].partition(":")
    values: Any = entry["values"]
    kind, *path = entry.get("from", [""])
    if kind == "params":
        values = plain(job.params.get(path[0], values))
    elif kind == "input":
        values = _of_input(path, job, values)
    try:
        from pydantic import TypeAdapter

        return [
            entry["class"],
            repr(TypeAdapter(getattr(importlib.import_module(module), name)).validate_python(values)),
        ]
    except Exception as error:
        return [entry["class"], type(error).__name__]


def _of_input(path: list[str], job: Any, values: Any) -> Any:
    """The same part of the same kind of configuration file; a job of another experiment has another file."""
    found = configurations(job)
    name = Path(path[0]).parts
    alike = [text for file, text in found.items() if len(Path(file).parts) == len(name)]
    value: Any = found.get(path[0], alike[0] if alike else None)
    for key in path[1:]:
        value = value.get(key) if isinstance(value, dict) else None
    return values if value is None else value


@functools.lru_cache(maxsize=4096)
def module_code(root: Path, name: str, used: frozenset[str]) -> str:
    """Digest of the bytecode of a module without what never runs: docstrings, positions, options that are settings."""
    base = root / "src" / Path(*name.split("."))
    path = next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)
    return "" if path is None else code_of_text(path.read_text(encoding="utf-8"), name, used)


def code_of_text(text: str, name: str, used: frozenset[str]) -> str:
    """The same of a text; each is compiled once in a campaign, not once in every step."""
    report = os.environ.get("CAMPAIGN_REPORT")
    if report is None:
        return _compiled(text, name, used)
    known = Path(report).with_name("digests") / _hash([text, name, sorted(used)])
    if not known.exists():
        known.parent.mkdir(exist_ok=True)
        own = known.with_name(f"{known.name}.{os.getpid()}")
        own.write_text(_compiled(text, name, used))
        own.replace(known)
    return known.read_text()


def _compiled(text: str, name: str, used: frozenset[str]) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            node.body = _without_options(node, name, used)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
            node.body = [s for s in body if not _is_text(s)] or [ast.Pass()]  # type: ignore[attr-defined]
    # Optimisation drops nothing else: the library has no `assert` that decides a result.
    code = compile(ast.fix_missing_locations(tree), "module", "exec", dont_inherit=True)
    return _hash(_plain_code(code))


def _without_options(node: ast.ClassDef, name: str, used: frozenset[str]) -> list[ast.stmt]:
    after = [*node.body[1:], ast.Pass()]
    return [
        s
        for s, following in zip(node.body, after, strict=True)
        if not (
            isinstance(s, ast.AnnAssign) and _is_text(following) and f"{name}:{node.name}.{s.target.id}" not in used  # type: ignore[union-attr]
        )
    ] or [ast.Pass()]


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _plain_code(code: CodeType) -> list[Any]:
    constants = [_plain_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return [code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars, code.co_name]


def hook() -> None:
    """In Snakemake's process: verify all jobs of the graph after the run, into `$CAMPAIGN_REPORT`."""
    from snakemake.workflow import Workflow

    original = Workflow.execute

    def execute(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return original(self, *arguments, **named)
        finally:
            if getattr(self, "dag", None) is not None:
                verify(self.dag, Path(self.basedir), Path(os.environ["CAMPAIGN_REPORT"]))

    Workflow.execute = execute


def verify(dag: Any, root: Path, report: Path) -> None:
    """Compare each output with what its step would write now."""
    sys.path[:0] = [str(root / "src")]
    stale: dict[str, Any] = {}
    jobs: dict[str, str] = {}
    for job in dag.jobs:
        rule = job.rule.name
        temporary = set(map(str, job.temp_output))
        jobs |= {str(path): rule for path in job.output}
        if job.rule.script is None or rule in REAL:
            continue
        try:
            for path in map(str, job.output):
                present = Path(path).read_text() if Path(path).exists() else "missing"
                wanted = content(root, rule, dict(job.wildcards.items()), job, path)
                if present != wanted and not (present == "missing" and path in temporary):
                    stale[path] = _difference(present, wanted)
        except Exception as error:
            stale[str(job)] = repr(error)
    above = {job.rule.name: sorted({other.rule.name for other in dag.dependencies[job]}) for job in dag.jobs}
    report.write_text(json.dumps({"stale": stale, "jobs": jobs, "above": above}))


def _difference(present: str, wanted: str) -> Any:
    try:
        old, new = json.loads(present), json.loads(wanted)
        return [
            f"{kind} {key}" if isinstance(new[kind], dict) else kind
            for kind in new
            if kind not in old or old[kind] != new[kind]
            for key in (
                [k for k in {**old[kind], **new[kind]} if old[kind].get(k) != new[kind].get(k)]
                if isinstance(new[kind], dict) and isinstance(old.get(kind), dict)
                else [""]
            )
        ]
    except (ValueError, AttributeError, TypeError):
        return present[:80]
