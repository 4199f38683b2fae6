"""What a result is made of: the version of the code that a step runs."""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

SOURCE = Path(__file__).parents[2]


@functools.cache
def code_version(*modules: str) -> str:
    """Hash of the code of `modules` and of every `tsp` module that they import, without comments and docstrings.

    Rules have it in their `params`, so that a library edit reruns exactly the steps whose code it changes.
    """
    digest = hashlib.sha256()
    for name in sorted(_closure(modules)):
        digest.update(name.encode() + _module(name)[1].encode())
    return digest.hexdigest()[:12]


def modules(names: Iterable[str]) -> dict[str, str]:
    """Digest of each `tsp` module that these modules import, themselves included."""
    return {name: _module(name)[1][:12] for name in sorted(_closure(tuple(names)))}


def _closure(modules: tuple[str, ...]) -> set[str]:
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in seen and _path(name) is not None:
            seen.add(name)
            waiting += _module(name)[0]
    return seen


@functools.cache
def _path(name: str) -> Path | None:
    base = SOURCE.joinpath(*name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


@functools.cache
def _module(name: str) -> tuple[tuple[str, ...], str]:
    """The `tsp` modules that a module may import, and the hash of its syntax tree without docstrings."""
    path = _path(name)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    # Only statements, since expressions hold no imports: planning the paper reads every module.
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from tsp.a import b` may name a module or something in one.
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, part, [])
        body = getattr(node, "body", None)
        if body is not None:
            node.body = [s for s in body if not _is_string(s)] or body[:1]  # type: ignore[attr-defined]
    # A hash, not the text: the trees of the whole library take megabytes while the paper is planned.
    code = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return tuple(module for module in found if module.split(".")[0] == "tsp"), code


def _is_string(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
