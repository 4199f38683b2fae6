"""Collects all documented differences from the paper and its released code into one page."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

MARK = re.compile(r"^ *Differs: (.*?)(?=\n *\n|\n *[A-Z][a-z]+:|\Z)", re.MULTILINE | re.DOTALL)
INTRO = """# Differences

Where this library does something else than the paper or its released code, the docstring of that function says
so under `Differs:`. This page is collected from them by `tsp schema`; never edit it. Options that choose between the
two are explained in `config/schema.json`.
"""


def page(source: Path) -> str:
    """Markdown with one entry per docstring, by module."""
    lines = [INTRO]
    for path in sorted(source.rglob("*.py")):
        found = list(stated(ast.parse(path.read_text(encoding="utf-8"))))
        if found:
            module = ".".join(path.relative_to(source.parent).with_suffix("").parts)
            lines += [f"## {module}\n", *(f"- `{name}`: {text}" for name, text in found), ""]
    return "\n".join(lines)


def stated(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names of classes and functions whose docstring has a `Differs:`, and its text on one line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            for text in MARK.findall(ast.get_docstring(node) or ""):
                yield node.name, " ".join(text.split())
