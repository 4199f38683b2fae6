"""The report: one self-contained HTML file with tables, figures, videos, cost and provenance."""

import csv
import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tsp.errors import TspError
from tsp.io.files import atomic, read_text
from tsp.io.tables import read_manifest
from tsp.report import style
from tsp.report.markup import data_url, read_fragment, render
from tsp.report.tables import MINIATURE

SHOWN_REASONS = 5
DASH = "—"
PNG = b"\x89PNG\r\n\x1a\n"
# CSS pixels per inch of a figure: its 9 pt text is a little smaller than the page's. Figures wider than NARROW_PX keep
# a readable size on a phone and scroll in their box.
CSS_DPI, NARROW_PX = 104, 520
# Sections in order: id -> name, and the template's values; a section is shown when one of them has content.
SECTIONS = {
    "tables": ("Tables", ("tables",)),
    "lengths": ("Short and long actions", ("buckets",)),
    "figures": ("Figures", ("figures", "overlays")),
    "captions": ("Captions", ("captions",)),
    "videos": ("Videos", ("videos",)),
    "cost": ("Cost", ("costs",)),
    "provenance": ("Provenance", ("facts", "digests")),
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of the page.

    Args:
        path: PNG; its PDF and CSV are named in the caption, since they lie beside it.
        title: heading, and alternative text of the picture.
        caption: what it shows.
        group: heading above the first of those that share it.
    """

    path: str | Path
    title: str
    caption: str = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Time and memory of all jobs of a stage.

    Args:
        stage: name of the rule.
        jobs: number of jobs.
        total_s: sum of their wall times.
        longest_s: of one job.
        memory_mb: highest resident memory of one job; None where it was not measured.
    """

    stage: str
    jobs: int
    total_s: float
    longest_s: float
    memory_mb: float | None


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the report shows; parts without content are left out.

    Args:
        title: heading.
        intro: a paragraph below it.
        miniature: warn at the top that these are no results of the paper.
        tables: HTML files of `tables.write_table_files`.
        pictures: figures, embedded.
        overlays: videos (`.mp4`), embedded.
        captions: HTML files of `captions.write_caption_page`.
        buckets: table -> rows of `errors.bucket_rows`.
        manifests: name of the subset -> manifest of its videos.
        benchmarks: Snakemake's benchmark files, `<...>/<rule>/<job>.tsv`.
        provenance: facts: versions, commit, configuration hash.
        digests: path of an input -> its sha256.
    """

    title: str
    intro: str = ""
    miniature: bool = False
    tables: Sequence[str | Path] = ()
    pictures: Sequence[Picture] = ()
    overlays: Sequence[Picture] = ()
    captions: Sequence[str | Path] = ()
    buckets: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    manifests: Mapping[str, str | Path] = field(default_factory=dict)
    benchmarks: Sequence[str | Path] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


def build_page(output: str | Path, page: Page) -> None:
    """Write the report.

    Args:
        output: `index.html`.
        page: its content.

    Raises:
        TspError: a figure is missing or not a PNG, or a file is not a table or a benchmark file.
    """
    values: dict[str, object] = {
        "title": page.title,
        "intro": page.intro,
        "miniature": page.miniature,
        "warning": MINIATURE,
        "tables": [read_fragment(path) for path in page.tables],
        "buckets": {name: rows for name, rows in page.buckets.items() if rows},
        "figures": _figures(page.pictures),
        "overlays": [_overlay(video) for video in page.overlays],
        "captions": [read_fragment(path) for path in page.captions],
        "videos": [_video_row(name, path) for name, path in page.manifests.items()],
        "costs": _cost_rows(stage_costs(page.benchmarks)),
        "facts": list(page.provenance.items()),
        "digests": list(page.digests.items()),
    }
    contents = {key: name for key, (name, parts) in SECTIONS.items() if any(values[part] for part in parts)}
    with atomic(output) as temporary:
        temporary.write_text(render("report.html.j2", values | {"contents": contents}), encoding="utf-8")


def stage_costs(benchmarks: Iterable[str | Path]) -> list[Cost]:
    """Sum Snakemake's benchmark files by their folder, which is named after the rule.

    Raises:
        TspError: a file is not a benchmark table.
    """
    stages: dict[str, list[tuple[float, float | None]]] = {}
    for path in benchmarks:
        for row in csv.DictReader(read_text(path).splitlines(), delimiter="\t"):
            seconds = _measured(row.get("s"))
            if seconds is None:
                raise TspError(f"{path}: no column 's' with seconds; expected a benchmark file of Snakemake")
            stages.setdefault(Path(path).parent.name, []).append((seconds, _measured(row.get("max_rss"))))
    return [
        Cost(
            stage=stage,
            jobs=len(jobs),
            total_s=sum(seconds for seconds, _ in jobs),
            longest_s=max(seconds for seconds, _ in jobs),
            memory_mb=max((memory for _, memory in jobs if memory is not None), default=None),
        )
        for stage, jobs in stages.items()
    ]


def duration(seconds: float) -> str:
    """Seconds in words: `43 s`, `12 min`, `2 h 05 min`, `3 d 4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _measured(value: str | None) -> float | None:
    """A number, or None for what Snakemake could not measure (`NA`, `-`)."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _figures(pictures: Sequence[Picture]) -> dict[str, list[dict[str, object]]]:
    """What the template shows of each figure, by group."""
    groups: dict[str, list[dict[str, object]]] = {}
    for picture in pictures:
        groups.setdefault(picture.group, []).append(_figure(picture))
    return groups


def _figure(picture: Picture) -> dict[str, object]:
    path = Path(picture.path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TspError(f"{path}: the figure cannot be read ({error})") from error
    if raw[:8] != PNG:
        raise TspError(f"{path}: the figure is not a PNG")
    width = struct.unpack(">I", raw[16:20])[0] * CSS_DPI // style.DPI
    return {
        "title": picture.title,
        "caption": picture.caption,
        "source": data_url(raw, "image/png"),
        "width": width,
        "wide": width > NARROW_PX,
        "folder": path.parent,
        "files": [p.name for p in (path, path.with_suffix(".pdf"), path.with_suffix(".csv")) if p.exists()],
    }


def _overlay(video: Picture) -> dict[str, object]:
    source = data_url(Path(video.path).read_bytes(), "video/mp4")
    return {"title": video.title, "caption": video.caption, "path": video.path, "source": source}


def _video_row(name: str, manifest: str | Path) -> list[object]:
    """Subset, videos, usable, failed, why."""
    table = read_manifest(manifest)
    failed = table[table["status"] != "ok"]
    why = _reasons(failed["status"], failed["reason"])
    return [name, len(table), len(table) - len(failed), len(failed), why]


def _reasons(status: Iterable[str], reason: Iterable[str]) -> str:
    found = Counter(f"{s}: {r}" if isinstance(r, str) and r else str(s) for s, r in zip(status, reason, strict=True))
    shown = [f"{n} × {why}" for why, n in found.most_common(SHOWN_REASONS)]
    rest = sum(found.values()) - sum(n for _, n in found.most_common(SHOWN_REASONS))
    return "; ".join([*shown, *([f"{rest} × other"] if rest else [])]) or DASH


def _cost_rows(costs: Sequence[Cost]) -> list[list[object]]:
    """Stage, jobs, time of all jobs, longest job, most memory; the last row adds all stages up."""
    if not costs:
        return []
    rows: list[list[object]] = [
        [
            c.stage,
            c.jobs,
            duration(c.total_s),
            duration(c.longest_s),
            DASH if c.memory_mb is None else f"{c.memory_mb:,.0f} MB",
        ]
        for c in costs
    ]
    return [*rows, ["all", sum(c.jobs for c in costs), duration(sum(c.total_s for c in costs)), "", ""]]
