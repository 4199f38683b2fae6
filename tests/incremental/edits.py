"""Edits of code and configuration, found by syntax tree; most leave code that still runs."""

import ast
import copy
import random
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from incremental.common import Repository

# Planning reads these too; a wrong value there is a broken workflow, not an edited step.
UNTOUCHED = (
    "tsp/plan/",
    "tsp/cli/",
    "tsp/steps.py",
    "tsp/job.py",
    "tsp/errors.py",
    "tsp/progress.py",
    "tsp/io/records.py",
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A literal of one file that may be replaced."""

    kind: str
    """`constant` or `default`."""
    file: str
    """Path in the repository."""
    name: str
    """What it belongs to: `NAME`, `function:line` or `Class.field`."""
    line: int
    """Line from 1."""
    start: int
    """Column of its first byte."""
    end: int
    """Column after its last byte."""
    old: str
    """Source text."""
    new: str
    """Another value."""

    def apply(self, repository: Repository) -> None:
        """Replace it."""
        lines = repository.read(self.file).splitlines(keepends=True)
        row = lines[self.line - 1].encode()
        assert row[self.start : self.end].decode() == self.old, f"{self.file}:{self.line} was changed by another edit"
        lines[self.line - 1] = (row[: self.start] + self.new.encode() + row[self.end :]).decode()
        repository.write(self.file, "".join(lines))

    def __str__(self) -> str:
        return f"{self.kind} {self.file}:{self.line} {self.name}: {self.old} -> {self.new}"


def is_touched(file: str) -> bool:
    """Whether edits of constants may change this file."""
    return not any(part in file for part in UNTOUCHED)


def places(repository: Repository, file: str) -> list[Place]:
    """All literals of a file that may be replaced."""
    text = repository.read(file)
    lines = text.encode().splitlines()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            row = lines[node.lineno - 1][node.col_offset : node.end_col_offset]
            node.source = row.decode() if node.lineno == node.end_lineno else ""  # type: ignore[attr-defined]
    return [place for node in tree.body for place in _of_statement(file, node) if place.old]


def _of_statement(file: str, node: ast.stmt) -> Iterator[Place]:
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        yield from _literals("constant", file, ast.unparse(target), node.value)
    elif isinstance(node, ast.FunctionDef):
        for inner in node.body:
            for part in ast.walk(inner):
                if isinstance(part, ast.expr) and isinstance(part, ast.BinOp | ast.Compare):
                    yield from _direct("constant", file, f"{node.name}:{part.lineno}", part)
    elif isinstance(node, ast.ClassDef):
        for statement, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign) and statement.value is not None and _is_text(after):
                yield from _default(file, f"{node.name}.{ast.unparse(statement.target)}", statement)
            elif isinstance(statement, ast.FunctionDef) and statement.name != "__post_init__":
                yield from _of_statement(file, statement)


def _is_text(node: ast.stmt | None) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _default(file: str, name: str, statement: ast.AnnAssign) -> Iterator[Place]:
    value = statement.value
    assert value is not None
    kind = ast.unparse(statement.annotation)
    choices = re.search(r"Literal\[(.*?)\]", kind)
    if isinstance(value, ast.Constant) and choices is not None:
        others = [repr(o) for o in ast.literal_eval(f"({choices.group(1)},)") if o != value.value]
        if others:
            yield _place("default", file, name, value, others[0].replace("'", '"'))
    else:
        yield from _literals("default", file, name, value)


def _literals(kind: str, file: str, name: str, value: ast.expr) -> Iterator[Place]:
    for part in ast.walk(value):
        if isinstance(part, ast.Constant):
            new = changed(part.value)
            if new is not None:
                yield _place(kind, file, name, part, new)


def _direct(kind: str, file: str, name: str, node: ast.expr) -> Iterator[Place]:
    """Literals that are operands; indices, sizes and dimensions are not."""
    operands = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.left, *node.comparators]  # type: ignore[attr-defined]
    for part in operands:
        if isinstance(part, ast.Constant) and isinstance(part.value, float):
            new = changed(part.value)
            if new is not None:
                yield _place(kind, file, name, part, new)


def _place(kind: str, file: str, name: str, node: ast.expr, new: str) -> Place:
    assert node.end_col_offset is not None
    return Place(
        kind=kind, file=file, name=name, line=node.lineno, start=node.col_offset, end=node.end_col_offset,
        old=str(node.source), new=new,  # type: ignore[attr-defined]
    )  # fmt: skip


def changed(value: Any) -> str | None:
    """Another value of a literal, as source text; None for one that is better left alone."""
    if isinstance(value, bool):
        return repr(not value)
    if isinstance(value, float):
        return repr(round(value * 1.0625, 12) if value else 0.0625)
    if isinstance(value, int):
        return repr(value + 1) if value >= 2 else None
    return None


def append(repository: Repository, file: str, number: int) -> str:
    """Code that a file without a suitable literal gets: an assignment, or a line of a template or style sheet."""
    text = repository.read(file)
    if file.endswith(".py"):
        marker = '\n\nif __name__ == "__main__":'
        line = f"EDITED_{number} = {number}\n"
        text = text.replace(marker, f"\n\n{line}{marker}", 1) if marker in text else f"{text}\n{line}"
    elif file.endswith(".json"):
        text = text.rstrip() + " " * (number % 50 + 1) + "\n"
    else:
        text += f"/* {number} */\n" if file.endswith(".css") else f"<!-- {number} -->\n"
    repository.write(file, text)
    return f"line appended to {file}"


def comment(repository: Repository, file: str, number: int) -> str:
    """An edit that must rerun nothing: a comment, a blank line, another docstring."""
    text = repository.read(file)
    tree = ast.parse(text)
    doc = ast.get_docstring(tree, clean=False)
    if doc is not None and '"""' + doc + '"""' in text:
        text = text.replace(f'"""{doc}"""', f'"""{doc.rstrip()} Edited {number}.\n"""', 1)
    repository.write(file, text + f"\n\n# Comment {number}.\n")
    return f"comment and docstring of {file}"


# Configuration


def options_of(cls: Any, values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Path, type and resolved value of every field of a dataclass, nested ones included."""
    for field in fields(cls):
        value = getattr(values, field.name)
        if is_dataclass(value):
            yield from options_of(type(value), value, (*path, field.name))
        else:
            yield (*path, field.name), field.type, value


def other(kind: Any, value: Any) -> Any:
    """Another value of a field's type; MISSING where none can be guessed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return round(value * 1.0625, 12) if value else 0.0625
    if isinstance(value, int):
        return value + 1
    choices = [c for part in (kind, *get_args(kind)) if get_origin(part) is Literal for c in get_args(part)]
    if choices:
        return next((c for c in choices if c != value), MISSING)
    if isinstance(value, list | tuple) and value and isinstance(value[-1], int | float):
        return [*value[:-1], other(None, value[-1])]
    if isinstance(value, list) and not value and "int" in str(kind):
        return [1]
    if value is None and "int" in str(kind):
        return 5
    if value is None and "float" in str(kind):
        return 0.5
    if isinstance(value, str) and value and kind in (str, "str"):
        return f"{value} "
    return MISSING


def put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of nested mappings with one value set."""
    found = copy.deepcopy(values)
    inner = found
    for key in path[:-1]:
        if not isinstance(inner.get(key), dict):
            inner[key] = {}
        inner = inner[key]
    inner[path[-1]] = value
    return found


def choose(chances: random.Random, found: list[Place], used: set[tuple[str, str]]) -> Place | None:
    """A literal that no earlier edit of the sequence has changed; the text of its file must be unchanged."""
    free = [place for place in found if (place.file, place.name) not in used]
    return chances.choice(free) if free else None


def python_files(folder: Path) -> list[str]:
    """Modules of the library."""
    return sorted(str(p.relative_to(folder)) for p in (folder / "src/tsp").rglob("*.py") if p.name != "__init__.py")
