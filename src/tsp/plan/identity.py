"""What a result is made of: the code of its step, its settings and the content of its inputs.

Rules have the code of their step in `params`, so that an edit schedules exactly the steps that it concerns. A scheduled
step compares its identity with the record of its outputs (`tsp.io.records`) and computes only what differs.

Options of the configuration are no code: their values, defaults included, reach a step as settings. Neither are the
modules that run and record steps.
"""

import ast
import functools
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2]
SCRIPTS = Path("workflow/scripts")
RESOURCES = Path("resources")
# They decide whether and where a step runs, never what it writes.
UNCOUNTED = re.compile(r"tsp\.(errors|progress|steps|io\.(records|resume)|plan(\..*)?)")
LIBRARIES = ("site-packages", "dist-packages", "lib-dynload")


@functools.cache
def code(script: str, *dotted: str, options: bool = False) -> str:
    """Digest of the code of a step.

    Args:
        script: name of the step script in `workflow/scripts`, without `.py`.
        dotted: modules that the configuration names (`reader`, `factory`, `method`), with or without `:name`.
        options: count the options too, for steps that resolve a configuration.

    Returns:
        12 hex digits; equal for code that differs in comments, docstrings and formatting only.
    """
    file = _file(SOURCE.parent / SCRIPTS / f"{script}.py", script)
    names = [*file.imports, *(path.partition(":")[0] for path in dotted)]
    parts = {f"{SCRIPTS}/{script}.py": file.version(options)} | modules(names, options=options)
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()[:12]


def modules(names: Iterable[str], *, options: bool = False) -> dict[str, str]:
    """Digest of each module that these modules import, themselves included, and of each resource that they read.

    Args:
        names: of `tsp`, or modules elsewhere that the configuration names; installed libraries are left out.
        options: count the options of the configuration too.
    """
    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if name in found or path is None or UNCOUNTED.fullmatch(name):
            continue
        file = _file(path, name)
        found[name] = file.version(options)
        found |= {resource.name: _content(resource) for resource in file.resources}
        # Importing a module runs the packages around it.
        waiting += [*file.imports, *[name.rpartition(".")[0]] * ("." in name)]
    return found


def modules_alone(*names: str) -> str:
    """Digest of these modules of the library, without what they import."""
    digests = []
    for name in names:
        path = _path(name)
        assert path is not None
        digests.append(_file(path, name).version(options=False))
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:12]


class _File:
    """What counts of one Python file: the modules that it imports, the resources that it names, its code."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.imports = tuple(one for one in _imported(tree, package) if _is_ours(one, path, package))
        self.resources = tuple(r for r in _resources(path.parent) if f'"{r.name}"' in text or f"'{r.name}'" in text)
        self._code = _digest(tree, options=False)

    def version(self, options: bool) -> str:
        """Digest of the syntax tree, with or without the options."""
        return self._with_options if options else self._code

    @functools.cached_property
    def _with_options(self) -> str:
        return _digest(ast.parse(self.path.read_text(encoding="utf-8")), options=True)


@functools.cache
def _file(path: Path, name: str) -> _File:
    return _File(path, name)


@functools.cache
def _path(name: str) -> Path | None:
    """The source of a module; None for packages of Python and of the environment, and for what is no module."""
    if name.split(".")[0] == "tsp":
        base = SOURCE.joinpath(*name.split("."))
        return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    path = Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None
    if path is None or not path.is_file() or path.is_relative_to(Path(ast.__file__).parent):
        return None
    return None if set(LIBRARIES) & set(path.parts) else path


def _is_ours(name: str, path: Path, package: str) -> bool:
    """Whether an imported module counts: of this library; for a file elsewhere also of its package or folder."""
    first = name.split(".")[0]
    if first == "tsp" or path.is_relative_to(SOURCE.parent / SCRIPTS):
        return first == "tsp"
    return not path.is_relative_to(SOURCE) and (
        first == package.split(".")[0] or (path.parent / f"{first}.py").is_file()
    )


def _imported(tree: ast.Module, package: str) -> Iterable[str]:
    # Only statements, since expressions hold no imports: planning the paper reads every module.
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            # `from tsp.a import b` may name a module or something in one.
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, part, [])


def _digest(tree: ast.Module, *, options: bool) -> str:
    """Hash of a syntax tree without docstrings and, unless `options`, without the options of dataclasses."""
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, part, None)
            if isinstance(inner, list):
                setattr(node, part, _code_of(inner, options or not isinstance(node, ast.ClassDef)))
                waiting += inner
    # A hash, not the text: the trees of the whole library take megabytes while the paper is planned.
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:12]


def _code_of(body: list[Any], options: bool) -> list[Any]:
    """Statements without strings that stand alone; without annotated fields that such a string documents."""
    if not body:
        return []
    kept = [
        statement
        for statement, after in zip(body, [*body[1:], None], strict=True)
        if not _is_string(statement) and (options or not (isinstance(statement, ast.AnnAssign) and _is_string(after)))
    ]
    return kept or [ast.Pass()]


def _is_string(statement: Any) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@functools.cache
def _resources(folder: Path) -> tuple[Path, ...]:
    """Files and folders that a module of this folder may read: those of `resources/`, and data beside the module."""
    beside = [path for path in folder.iterdir() if path.suffix != ".py" and not path.name.startswith(("_", "."))]
    shipped = SOURCE.parent / RESOURCES
    # Folders beside a module are packages, unless they hold data only.
    data = [path for path in beside if path.is_file() or not any(path.rglob("*.py"))]
    return tuple(sorted([*data, *(shipped.iterdir() if shipped.is_dir() else ())]))


@functools.cache
def _content(path: Path) -> str:
    """Digest of a file, or of all files of a folder."""
    files = [path] if path.is_file() else sorted(inner for inner in path.rglob("*") if inner.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(path.parent)).encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def differences(old: Mapping[str, Any], new: Mapping[str, Any], options: Mapping[str, type] | None = None) -> list[str]:
    """What differs between the identities of two runs of a step, each as a few words.

    Args:
        old: `code`, `modules`, `params`, `inputs` of a record.
        new: the same of the present job.
        options: names of params that are the options of a dataclass, and the dataclass.
    """
    found = []
    if old.get("code") != new.get("code"):
        before, now = old.get("modules", {}), new.get("modules", {})
        named = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        found += [f"code of {name}" for name in named] or ["code of the step"]
    before, now = old.get("params", {}), new.get("params", {})
    for name in dict.fromkeys([*now, *before]):
        cls = (options or {}).get(name)
        found += changed_settings(before.get(name), now.get(name), {} if cls is None else defaults_of(cls), name)
    before, now = old.get("roles", {}), new.get("roles", {})
    found += [f"files of input {role}" for role in sorted({*before, *now}) if before.get(role) != now.get(role)]
    before, now = old.get("inputs", {}), new.get("inputs", {})
    found += [f"input {path}" for path in sorted({*before, *now}) if before.get(path) != now.get(path)]
    return found


def changed_settings(old: Any, new: Any, defaults: Mapping[str, Any], key: str = "") -> list[str]:
    """Settings that differ, with both values.

    Args:
        old: settings of a record.
        new: present settings.
        defaults: default values by name. A setting that the record lacks is newer than the record; it differs only
            where its value is not its default.
        key: name of the settings.
    """
    # As text: the order of a mapping can matter, and so can 1, 1.0 and true.
    if json.dumps(old) == json.dumps(new):
        return []
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return [f"{key} ({_short(old)}, now {_short(new)})"]
    found = []
    for name in dict.fromkeys([*new, *old]):
        is_newer = name not in old and name in defaults and new[name] == defaults[name]
        if not is_newer:
            inner = defaults.get(name)
            where = f"{key}.{name}" if key else name
            inner = inner if isinstance(inner, Mapping) else {}
            found += changed_settings(old.get(name), new.get(name), inner, where)
    common = [name for name in new if name in old]
    return found or [f"order of {key}"] * (common != [name for name in old if name in new])


def defaults_of(cls: type) -> dict[str, Any]:
    """Default values of the fields of a dataclass, as JSON gives them back; fields without one are left out."""
    made = {f.name: f.default_factory() for f in fields(cls) if f.default_factory is not MISSING}
    made |= {f.name: f.default for f in fields(cls) if f.default is not MISSING}
    lacking = [f.type for f in fields(cls) if f.name not in made]
    named = [f.name for f in fields(cls) if f.name not in made]
    inner = {
        name: defaults_of(part)
        for name, part in zip(named, lacking, strict=True)
        if isinstance(part, type) and is_dataclass(part)
    }
    return {**inner, **{name: plain(value) for name, value in made.items()}}


def plain(value: Any) -> Any:
    """A value as JSON gives it back: dataclasses and mappings as dicts, tuples as lists, all else as text."""

    def other(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return asdict(value)
        return dict(value) if isinstance(value, Mapping) else str(value)

    return json.loads(json.dumps(value, default=other))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
