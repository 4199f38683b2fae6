"""What the steps of the workflow import, read from the sources: of this library and of other packages."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
# Modules that import what the configuration names, and the key of that name there.
NAMED_BY = {
    "tsp.config.experiments": "method",
    "tsp.sweep": "method",
    "tsp.datasets.listing": "reader",
    "tsp.encoders.build": "factory",
}


class Step(NamedTuple):
    """A rule, its environment and its script, both without folder and suffix."""

    rule: str
    environment: str
    script: str


def steps() -> list[Step]:
    """Every rule with a script."""
    found = []
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for rule in re.split(r"^(?=rule )", path.read_text(), flags=re.MULTILINE)[1:]:
            parts = (r"rule (\w+)", r"envs/(\w+)\.yaml", r"scripts/(\w+)\.py")
            found.append(Step(*(re.search(part, rule)[1] for part in parts)))
    return found


def environments() -> dict[str, list[str]]:
    """Name of an environment -> its dependencies."""
    return {path.stem: yaml.safe_load(path.read_text())["dependencies"] for path in sorted((ROOT / "envs").iterdir())}


def closure(script: str) -> tuple[set[str], dict[str, list[str]]]:
    """All that a script can import, in functions too.

    Returns:
        Modules of this library; other packages with the files that import them.
    """
    modules: set[str] = set()
    packages: dict[str, list[str]] = {}
    seen: set[Path] = set()
    waiting = [ROOT / f"workflow/scripts/{script}.py"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        ours, others = imports_of(path)
        for package in others:
            packages.setdefault(package, []).append(str(path.relative_to(ROOT)))
        for module in ours:
            parents = [".".join(module.split(".")[:n]) for n in range(1, module.count(".") + 1)]
            reached = {module, *parents, *named(NAMED_BY.get(module))}
            modules |= reached
            waiting += [module_path(name) for name in reached]
    return modules, packages


@cache
def imports_of(path: Path) -> tuple[set[str], set[str]]:
    """Modules of this library and packages of others that a file imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            # `from tsp.a import b` may name a module or something in one.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = {name for name in names if name.split(".")[0] == "tsp" and module_path(name)}
    return ours, {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"tsp"}


@cache
def module_path(name: str) -> Path | None:
    """File of a module of this library; None if there is no such module."""
    base = SOURCE.joinpath(*name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


@cache
def named(key: str | None) -> set[str]:
    """Modules that the shipped configuration names under a key, such as `method`."""
    files = [yaml.safe_load(path.read_text()) for path in (ROOT / "config").glob("*.yaml")]
    return {value.partition(":")[0] for content in files for value in _values(key, content)}


def _values(key: str | None, node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (v for k, v in node.items() if k == key and isinstance(v, str))
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _values(key, value)
