"""Compare two results folders file by file: `python tests/compare.py OLD/results NEW/results`.

Weights, features, raw and final predictions, proposals, scores, CSV and Markdown are compared byte for byte, p-values
of tables to 1e-12; HTML as parsed text without times, sizes and hashes; the facts of encoders without their code
version; logs of trainings without speeds. Videos and figures are left out unless `--all` is given, and with
`--other-encoder` also the size and checksum of videos in manifests. Exit status 1: something differs or is missing.
"""

import argparse
import csv
import json
import re
import sys
from collections import defaultdict
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path

KINDS = {
    ".safetensors": "weights",
    ".h5": "features, raw predictions, GVF",
    ".csv": "CSV",
    ".md": "Markdown",
    ".html": "HTML",
    ".jsonl": "training logs",
    ".txt": "proposal lists",
    ".yaml": "resolved configurations",
}
JSON_KINDS = ("predictions", "proposals", "scores", "captions", "annotated", "encoder", "segments", "annotations")
MEDIA = {".mp4", ".mkv", ".webm", ".avi", ".mov", ".png", ".pdf"}
# What a clock or a path decides, not the code.
SPEED = re.compile(r'"items_per_s": [\d.eE+-]+')
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
COMMIT = r"\b(?=\d*[a-f])[0-9a-f]{7,11}(-dirty)?\b"
CLOCKED = re.compile(rf"{COMMIT}|\b[0-9a-f]{{12,64}}\b|\b[\d,]+(\.\d+)? (s|min|h|MB|GB)\b")


class Text(HTMLParser):
    """Text nodes of a page, without styles, scripts and embedded pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.skipped = 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.skipped += tag in ("style", "script")

    def handle_endtag(self, tag):
        self.skipped -= tag in ("style", "script")

    def handle_data(self, data):
        if not self.skipped and data.strip():
            self.found.append(" ".join(data.split()))


def kind_of(path: Path) -> str:
    """The row of the table that a file counts in."""
    if path.suffix == ".json":
        return next((f"{name}*.json" for name in JSON_KINDS if path.name.startswith(name)), "other JSON")
    return "videos and figures" if path.suffix in MEDIA else KINDS.get(path.suffix, "other")


def difference(old: Path, new: Path, ignored: frozenset[str]) -> str:
    """Empty where both files have the same content; else what differs. `ignored`: columns of CSV files."""
    a, b = old.read_bytes(), new.read_bytes()
    if a == b:
        return ""
    if old.name == "encoder.json":
        left, right = ({k: v for k, v in json.loads(t).items() if k != "code"} for t in (a, b))
        return "" if left == right else f"keys {[k for k in {*left, *right} if left.get(k) != right.get(k)]}"
    if old.suffix == ".jsonl":
        return "" if SPEED.sub("", a.decode()) == SPEED.sub("", b.decode()) else "lines differ"
    if old.suffix == ".html":
        return html_difference(a.decode(), b.decode())
    return csv_difference(old, new, ignored) if old.suffix == ".csv" else "bytes differ"


def csv_difference(old: Path, new: Path, ignored: frozenset[str]) -> str:
    """The first cell that differs."""
    with old.open(newline="") as left, new.open(newline="") as right:
        rows = zip_longest(csv.DictReader(left), csv.DictReader(right), fillvalue={})
        for number, (a, b) in enumerate(rows, 2):
            for column in dict.fromkeys([*a, *b]):
                x, y = a.get(column), b.get(column)
                close = column == "p" and x and y and abs(float(x) - float(y)) <= 1e-12
                if x != y and not close and column not in ignored:
                    return f"row {number}, {column}: {x!r} is now {y!r}"
    return ""


def html_difference(old: str, new: str) -> str:
    """The first text that differs, numbers compared to 1e-12; times, sizes and hashes left out."""
    for left, right in zip_longest(Text(old).found, Text(new).found, fillvalue=""):
        if CLOCKED.sub("", left) == CLOCKED.sub("", right):
            continue
        a, b = (list(map(float, NUMBER.findall(text))) for text in (left, right))
        same = len(a) == len(b) and all(abs(x - y) <= 1e-12 * max(1.0, abs(x)) for x, y in zip(a, b, strict=True))
        if NUMBER.sub("", left) != NUMBER.sub("", right) or not same:
            return f"{left[:80]!r} is now {right[:80]!r}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--all", action="store_true", help="videos and figures too")
    parser.add_argument("--other-encoder", action="store_true", help="without size and checksum of videos in manifests")
    parser.add_argument("--without", nargs="*", default=[], help="text in the paths of files to leave out")
    args = parser.parse_args()
    ignored = frozenset({"bytes", "sha256"} if args.other_encoder else ())
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    files = {p.relative_to(root) for root in (args.old, args.new) for p in root.rglob("*") if p.is_file()}
    for path in sorted(files):
        kind = kind_of(path)
        skipped = any(text in path.as_posix() for text in args.without) or {".made", ".sums"} & set(path.parts)
        if skipped or (kind == "videos and figures" and not args.all):
            continue
        old, new = args.old / path, args.new / path
        if old.is_file() and new.is_file():
            found = difference(old, new, ignored)
            counts[kind][bool(found)] += 1
            if found:
                print(f"differs: {path}: {found}")
        else:
            counts[kind][2] += 1
            print(f"only in {args.old if old.is_file() else args.new}: {path}")
    print(f"{'files':<34} equal differ missing")
    for kind, (equal, differ, missing) in sorted(counts.items()):
        print(f"{kind:<34} {equal:5} {differ:6} {missing:7}")
    return int(any(differ or missing for _, differ, missing in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
