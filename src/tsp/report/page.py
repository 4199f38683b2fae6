"""The report: one HTML file with tables, figures, videos, cost and provenance, no other file needed."""

import base64
import csv
import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsp.errors import TspError
from tsp.io.files import atomic, read_text
from tsp.io.tables import read_manifest
from tsp.report import style
from tsp.report.markup import document, embedded, grid, text
from tsp.report.tables import MINIATURE, read_fragment

SHOWN_REASONS = 5
DASH = "—"
PNG = b"\x89PNG\r\n\x1a\n"
# Pixels of the page per inch of a figure: text of 9 pt comes out a little smaller than that of the page. A figure wider
# than a telephone keeps a readable size there and scrolls in its box.
CSS_DPI, NARROW_PX = 104, 520


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of the page.

    Args:
        path: PNG; its PDF and CSV are named in the caption, since they lie beside it.
        title: heading, also read out to those who do not see the picture.
        caption: what is to be seen.
        group: heading above the first of those that share it.
    """

    path: str | Path
    title: str
    caption: str = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a stage took, all its jobs together.

    Args:
        stage: name of the rule.
        jobs: how many were run.
        total_s: sum of their wall times.
        longest_s: of one job.
        memory_mb: highest resident memory of one job; None where it was not measured.
    """

    stage: str
    jobs: int
    total_s: float
    longest_s: float
    memory_mb: float | None


def build_page(
    output: str | Path,
    *,
    title: str,
    intro: str = "",
    miniature: bool = False,
    tables: Sequence[str | Path] = (),
    pictures: Sequence[Picture] = (),
    overlays: Sequence[Picture] = (),
    captions: Sequence[str | Path] = (),
    buckets: Mapping[str, Sequence[Sequence[str]]] | None = None,
    manifests: Mapping[str, str | Path] | None = None,
    benchmarks: Iterable[str | Path] = (),
    provenance: Mapping[str, object] | None = None,
    digests: Mapping[str, str] | None = None,
) -> None:
    """Write the report.

    Args:
        output: `index.html`.
        title: heading.
        intro: a paragraph below it.
        miniature: put the warning that these are no results of the paper on top.
        tables: HTML files of `tables.write_table`.
        pictures: figures, embedded.
        overlays: videos (`.mp4`), embedded.
        captions: HTML files of `captions.write_captions`.
        buckets: table -> rows of `errors.bucket_rows`.
        manifests: name of the subset -> manifest of its videos.
        benchmarks: Snakemake's benchmark files, `<...>/<rule>/<job>.tsv`.
        provenance: facts: versions, commit, configuration hash.
        digests: path of an input -> its sha256.
    """
    sections = [
        ("tables", "Tables", "\n".join(read_fragment(path) for path in tables)),
        ("lengths", "Short and long actions", _buckets(buckets or {})),
        ("figures", "Figures", _figures(pictures) + _overlays(overlays)),
        ("captions", "Captions", "\n".join(read_fragment(path) for path in captions)),
        ("videos", "Videos", _videos(manifests or {})),
        ("cost", "Cost", _costs(stage_costs(benchmarks))),
        ("provenance", "Provenance", _facts(provenance or {}, digests or {})),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name, _ in sections)
    parts = [f"<header><h1>{text(title)}</h1>"]
    parts += [f'<p class="banner"><strong>{text(MINIATURE)}</strong></p>'] if miniature else []
    parts += [f"<p>{text(intro)}</p>"] if intro else []
    parts.append(f"<nav aria-label='Contents'><ul>{links}</ul></nav></header>")
    for key, name, content in sections:
        # A table brings its own heading.
        heading = "" if key in ("tables", "captions") else f"<h2>{name}</h2>"
        parts.append(f'<section id="{key}">{heading}{content}</section>')
    with atomic(output) as temporary:
        body = "\n".join(parts)
        if miniature:
            body = f'<div class="miniature">{body}</div>'
        temporary.write_text(document(title, body), encoding="utf-8")


def stage_costs(benchmarks: Iterable[str | Path]) -> list[Cost]:
    """Add up Snakemake's benchmark files by the folder they are in, which is named like the rule.

    Raises:
        TspError: a file is no benchmark table.
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


def _buckets(tables: Mapping[str, Sequence[Sequence[str]]]) -> str:
    shown = "".join(
        f"<h3>{text(name)}</h3>{grid(rows[0], rows[1:], kind='narrow')}" for name, rows in tables.items() if rows
    )
    said = (
        "Normalised average mAP of the actions of a bucket (XS: the shortest, XL: the longest) and the share of them"
        " that no prediction finds, in percent, means of the seeds (DETAD). Coverage: share of the video. The edges are"
        " those of the data set (<code>buckets</code>)."
    )
    return f'<p class="soft">{said}</p>{shown}' if shown else ""


def _figures(pictures: Sequence[Picture]) -> str:
    parts = []
    for group in dict.fromkeys(picture.group for picture in pictures):
        shown = "".join(_figure(picture) for picture in pictures if picture.group == group)
        heading = f'<h3 class="group">{text(group)}</h3>' if group else ""
        parts.append(f'{heading}<div class="figures">{shown}</div>')
    return "".join(parts)


def _overlays(videos: Sequence[Picture]) -> str:
    shown = "".join(
        f'<figure class="overlay"><h4>{text(v.title)}</h4><video controls muted preload="metadata"'
        f' aria-label="{text(v.title)}" src="data:video/mp4;base64,{_base64(v.path)}"></video>'
        f"<figcaption>{text(v.caption)} <code>{text(v.path)}</code></figcaption></figure>"
        for v in videos
    )
    heading = '<h3 class="group">Videos with their predictions</h3>'
    return f'{heading}<div class="figures">{shown}</div>' if shown else ""


def _base64(path: str | Path) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode("ascii")


def _figure(picture: Picture) -> str:
    path = Path(picture.path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TspError(f"{path}: the figure cannot be read ({error})") from error
    if raw[:8] != PNG:
        raise TspError(f"{path}: the figure is no PNG")
    beside = [p.name for p in (path, path.with_suffix(".pdf"), path.with_suffix(".csv")) if p.exists()]
    files = f"<code>{text(path.parent)}/</code>: " + ", ".join(f"<code>{text(name)}</code>" for name in beside)
    caption = f"{text(picture.caption)} " if picture.caption else ""
    width = struct.unpack(">I", raw[16:20])[0] * CSS_DPI // style.DPI
    wide = ' class="wide"' if width > NARROW_PX else ""
    return (
        f'<figure{wide} style="width:{width}px"><h4>{text(picture.title)}</h4><div class="scroll" tabindex="0">'
        f'<img alt="{text(picture.title)}" src="{embedded(path)}"></div>'
        f"<figcaption>{caption}Files: {files}.</figcaption></figure>"
    )


def _videos(manifests: Mapping[str, str | Path]) -> str:
    rows = []
    for name, path in manifests.items():
        table = read_manifest(path)
        failed = table[table["status"] != "ok"]
        rows.append(
            [name, len(table), len(table) - len(failed), len(failed), _reasons(failed["status"], failed["reason"])]
        )
    header = ["subset", "videos", "usable", "failed", "why"]
    return grid(header, rows, kind="text") if rows else ""


def _reasons(status: Iterable[str], reason: Iterable[str]) -> str:
    found = Counter(f"{s}: {r}" if isinstance(r, str) and r else str(s) for s, r in zip(status, reason, strict=True))
    shown = [f"{n} × {why}" for why, n in found.most_common(SHOWN_REASONS)]
    rest = sum(found.values()) - sum(n for _, n in found.most_common(SHOWN_REASONS))
    return "; ".join([*shown, *([f"{rest} × other"] if rest else [])]) or DASH


def _costs(costs: Sequence[Cost]) -> str:
    if not costs:
        return ""
    rows = [
        [
            c.stage,
            c.jobs,
            duration(c.total_s),
            duration(c.longest_s),
            DASH if c.memory_mb is None else f"{c.memory_mb:,.0f} MB",
        ]
        for c in costs
    ]
    rows.append(["all", sum(c.jobs for c in costs), duration(sum(c.total_s for c in costs)), "", ""])
    header = ["stage", "jobs", "time, all jobs", "longest job", "most memory of a job"]
    return grid(header, rows) + '<p class="soft">Wall time; jobs may have run side by side.</p>'


def _facts(facts: Mapping[str, object], digests: Mapping[str, str]) -> str:
    parts = [grid([], [[key, value] for key, value in facts.items()], kind="text")] if facts else []
    if digests:
        parts.append("<h3>Inputs</h3>" + grid(["file", "sha256"], list(digests.items()), kind="text"))
        parts.append('<p class="soft">Manifests hold the sha256 of every video.</p>')
    return "".join(parts)
