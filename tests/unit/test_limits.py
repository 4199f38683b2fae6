"""Files of at most 450 lines, functions of at most 50, at most six positional arguments (docs/architecture.md)."""

import ast

LINES, FUNCTION, POSITIONAL = 450, 50, 6
FOLDERS = ("src", "workflow", "rules", "tests", "benchmarks")


def excess(path):
    """What of a file is beyond the limits."""
    text = path.read_text(encoding="utf-8")
    if text.count("\n") > LINES:
        yield f"{path}: {text.count(chr(10))} lines"
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
            if length > FUNCTION:
                yield f"{path}: {node.name} has {length} lines"
            if len(names) > POSITIONAL:
                yield f"{path}: {node.name} takes {len(names)} positional arguments"


def test_files_and_functions_are_within_the_limits(repository):
    files = [p for folder in FOLDERS for suffix in ("py", "smk") for p in (repository / folder).rglob(f"*.{suffix}")]
    assert len(files) > 300
    assert not [line for path in [*files, repository / "Snakefile"] for line in excess(path)]


def test_the_check_sees_each_kind(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("def f(a, b, c, d, e, g, h):\n" + "    x = 1\n" * 460)
    assert len(list(excess(path))) == 3
