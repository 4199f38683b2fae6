"""`tsp trace`: what made a file, as a tree down to its sources."""

import argparse
import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsp.plan.trace import File, Step

WIDTH = 110
# Characters of a checksum and of a setting that are shown.
DIGITS, LONGEST = 8, 72
# Sources of a step that are shown; changed and missing ones are always shown.
SOURCES = 8
PLUMBING = ("code", "cells", "rows", "work", "store", "written")
EPILOG = """
Every file is listed with the first digits of its SHA-256. A file that the tree has already is only referred to. Marks
compare the present files with what the steps read: CHANGED SINCE, MISSING. Versions of tools are listed where they
differ from those of the step above.

  tsp trace results/tables/miniature.md --depth 1
  tsp trace results/tables/miniature.md --row 'TSP features' --column average
  tsp trace results/pretrain/mini_tsp/encoder.safetensors --all-settings
  tsp trace /backup/results/tables/miniature.csv --json
"""


def add_trace(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the command."""
    command = commands.add_parser(
        "trace",
        help="show what made a file: steps, settings, inputs, sources",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", type=Path, help="a file of the results")
    command.add_argument("--results", type=Path, help="results folder (default: the one that holds FILE, or results)")
    command.add_argument("--depth", type=int, help="levels of inputs to show (default: all)")
    command.add_argument("--row", help="only the cells of this row of a table: its label or its run")
    command.add_argument("--column", help="only the cells of this column: its title, or its metric")
    command.add_argument("--all-settings", action="store_true", help="also the settings that have their default")
    command.add_argument("--json", action="store_true", help="print everything as JSON, with complete checksums")
    command.set_defaults(run=_trace)


def _trace(args: argparse.Namespace) -> int:
    from tsp.errors import TspError
    from tsp.plan.trace import as_json, trace

    if args.depth is not None and args.depth < 0:
        raise TspError(f"--depth {args.depth}: expected a number of levels, at least 0")
    found = trace(args.file, args.results, depth=args.depth, row=args.row, column=args.column)
    if args.json:
        print(json.dumps(as_json(found), indent=1, ensure_ascii=False))
    else:
        print("\n".join(text(found, all_settings=args.all_settings)))
    return 0


def text(root: "File", *, all_settings: bool = False) -> Iterator[str]:
    """The tree as lines of at most `WIDTH` characters, and a summary."""
    repeated = {file.path for file in root.walk() if file.repeated}
    first = dict.fromkeys(file.path for file in root.walk() if file.path in repeated)
    numbers = {path: number for number, path in enumerate(first, 1)}
    yield from _Printer(numbers=numbers, all_settings=all_settings).file(root, "", "")
    yield ""
    yield from textwrap.wrap(_summary(root), WIDTH)


class _Printer:
    """Lines of the tree.

    Args:
        numbers: number of each file to which the tree refers more than once.
        all_settings: whether to list settings that have their default.
    """

    def __init__(self, *, numbers: Mapping[str, int], all_settings: bool) -> None:
        self.numbers = numbers
        self.all_settings = all_settings

    def file(self, file: "File", first: str, other: str, tools: Mapping[str, str] | None = None) -> Iterator[str]:
        """A file, its step, and the files below.

        Args:
            first: what its first line starts with.
            other: what the lines below it start with.
            tools: those of the step that reads the file.
        """
        words = [file.path, _short(file), *_marks(file)]
        if file.path in self.numbers:
            number = self.numbers[file.path]
            words.append(f"see [{number}]" if file.repeated else f"[{number}]")
        below = file.step.inputs if file.step else []
        indent = other + ("│ " if below else "  ")
        yield from _wrapped("  ".join(word for word in words if word), first, indent + "  ")
        for line in _facts(file):
            yield from _wrapped(line, indent, indent + "  ")
        if file.step is None:
            return
        for line in self._step(file.step, tools):
            yield from _wrapped(line, indent, indent + "  ")
        shown, hidden = _shown(below)
        if file.step.omitted + hidden:
            more = f"and {file.step.omitted + hidden} more inputs" if shown else f"{file.step.omitted} inputs not shown"
            yield indent + more
        for number, inner in enumerate(shown, 1):
            last = number == len(shown)
            yield from self.file(
                inner, other + ("└─" if last else "├─"), other + ("  " if last else "│ "), file.step.tools
            )

    def _step(self, step: "Step", tools: Mapping[str, str] | None) -> Iterator[str]:
        wildcards = ", ".join(f"{key} {value}" for key, value in step.wildcards.items())
        yield step.rule + (f": {wildcards}" if wildcards else "")
        made = [step.started.replace("T", " ")[:19]] if step.started else []
        made += [f"on {step.host}"] if step.host else []
        made += [f"in {_time(step.seconds)}"] if step.seconds is not None else []
        version = f"tsp {step.version}" if step.version else ""
        code = f"code {step.code[:12]}" if step.code else ""
        yield "; ".join(part for part in (" ".join(made), code, version) if part)
        if step.tools and step.tools != tools:
            yield "with " + ", ".join(f"{name} {step.tools[name]}" for name in sorted(step.tools))
        if step.kept:
            yield "kept: an earlier output with equal code, settings and inputs was put back"
        if step.outdated:
            yield "OUTDATED (track_code: cheap): " + ", ".join(step.outdated)
        if step.overrides:
            yield "overrides: " + ", ".join(map(str, step.overrides))
        for setting in step.settings:
            default = f" (default {_value(setting.default)})" if setting.known and setting.differs else ""
            default = " (the default)" if not setting.differs else default
            if self.all_settings or (setting.differs and not _is_plumbing(setting.key, setting.value)):
                yield f"· {setting.key}: {_value(setting.value)}{default}"


def _wrapped(line: str, first: str, other: str) -> list[str]:
    width = max(WIDTH, len(other) + 40)
    options: Any = {"break_on_hyphens": False, "drop_whitespace": True}
    return textwrap.wrap(line, width, initial_indent=first, subsequent_indent=other, **options) or [first]


def _shown(inputs: list["File"]) -> tuple[list["File"], int]:
    """Inputs to print, and the number of those that are not: a shard may have a hundred equal sources."""
    leaves = [f for f in inputs if f.kind in ("source", "stored") and f.state not in ("changed", "missing")]
    hidden = {id(file) for file in leaves[SOURCES:]}
    return [file for file in inputs if id(file) not in hidden], len(hidden)


def _short(file: "File") -> str:
    return (file.recorded or file.present or "")[:DIGITS]


def _marks(file: "File") -> Iterator[str]:
    if file.size is not None and file.present is not None:
        yield _bytes(file.size)
    if file.kind == "unrecorded":
        yield "no record of its step"
    if file.state == "missing":
        yield "MISSING"
    if file.state == "changed":
        yield f"CHANGED SINCE: now {(file.present or '')[:DIGITS]}"


def _facts(file: "File") -> Iterator[str]:
    """What is recorded of a source or a stored video besides its checksum."""
    if file.kind == "source" and not file.facts:
        yield "source"
    known = {key: value for key, value in file.facts.items() if key not in ("sha256", "bytes", "mtime_ns", "source")}
    kind = {"source": "source", "stored": "stored video"}.get(file.kind, "")
    if file.facts:
        facts = ", ".join(f"{key} {_value(value)}" for key, value in known.items() if value not in (None, "", {}, []))
        yield f"{kind}: {facts}" if facts else kind


def _is_plumbing(key: str, value: Any) -> bool:
    """Whether a parameter only says where files are, or repeats what else is shown of the step."""
    return key.split(".")[0] in PLUMBING or (isinstance(value, str) and value.startswith("results/"))


def _value(value: Any) -> str:
    found = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    found = " ".join(found.split()) or "''"
    return found if len(found) <= LONGEST else found[: LONGEST - 1] + "…"


def _summary(root: "File") -> str:
    files = {file.path: file for file in root.walk() if not file.repeated}
    steps = {(f.step.rule, *f.step.wildcards.items()): f.step for f in files.values() if f.step}
    parts = [
        _count(sum(f.kind != "source" for f in files.values()), "file"),
        _count(len(steps), "step"),
        _count(sum(f.kind == "source" for f in files.values()), "source"),
    ]
    for state, words in (("changed", "changed since"), ("missing", "missing")):
        found = {file.path for file in root.walk() if file.state == state}
        parts += [f"{len(found)} {words}"] if found else []
    seconds = [step.seconds for step in steps.values() if step.seconds is not None]
    parts += [f"{_time(sum(seconds))} of work"] if seconds else []
    started = sorted(step.started.replace("T", " ")[:16] for step in steps.values() if step.started)
    period = dict.fromkeys([started[0], started[-1]]) if started else {}
    return ", ".join(parts) + (f"; {' to '.join(period)}" if period else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def _time(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _bytes(size: int) -> str:
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f} {unit}"
    return f"{size} B"
