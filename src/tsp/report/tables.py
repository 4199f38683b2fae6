"""Tables of our results beside published values, from the scores of every seed.

The CSV is tidy, one value per row. `kind` is `seed` (one training), `mean` (over seeds, with sample standard
deviation and n; without value where nothing was run), `published`, `ours_minus_published`, `paired_seed` and
`paired_mean` (`run` minus `subtrahend` of the same seed, `n_positive` of `n` above zero, with `t` and the two-sided `p`
of a paired t-test), and `reference` (results of others, `run` empty). Values are in the table's unit.
"""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tsp.io.files import atomic
from tsp.io.tables import write_table
from tsp.report.config import ColumnConfig, DifferenceConfig, PublishedConfig, ReferenceConfig, TableConfig
from tsp.report.markup import render, write_standalone
from tsp.report.scores import Scores, metric_value
from tsp.report.significance import least_exact, paired_t

DASH = "—"
FOOTNOTE = re.compile(r" (\[\d+\])$")
MINIATURE = (
    "Miniature: generated videos and a tiny encoder. These numbers show that the pipeline works; "
    "they say nothing about the paper's."
)
# Protocol of captions of annotated segments, by the start of the metric's name; the first that fits.
PROTOCOLS = {
    "annotated_tiou50_": "scored at tIoU 0.5 alone, as in the TSP authors' script",
    "annotated_": "mean over tIoU 0.3, 0.5, 0.7 and 0.9, as in BMT's published scores",
}
COLUMNS = ["kind", "run", "subtrahend", "label", "experiment", "metric", "seed", "value", "sd", "n", "n_positive"]
COLUMNS += ["t", "p", "source", "certainty", "miniature"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Values of one cell over seeds, in the table's unit."""

    seeds: dict[int, float]

    @property
    def n(self) -> int:
        """Seeds."""
        return len(self.seeds)

    @property
    def mean(self) -> float | None:
        """None without seeds."""
        return statistics.fmean(self.seeds.values()) if self.seeds else None

    @property
    def sd(self) -> float | None:
        """Sample standard deviation; None below two seeds."""
        return statistics.stdev(self.seeds.values()) if self.n > 1 else None

    @property
    def n_positive(self) -> int:
        """Seeds above zero."""
        return sum(value > 0 for value in self.seeds.values())


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line as shown: `kind` is `ours` or `difference`, `sub` marks the lines below one of them."""

    kind: str
    label: str
    cells: list[str]
    sub: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with everything filled in.

    Args:
        config: what was asked for.
        lines: text, from top to bottom.
        sources: footnotes, (certainty, source); number 1 comes first.
        summary: the differences of the last column in words.
        values: rows of the CSV.
        warnings: encoders that are outdated, and warnings of the trainings, a sentence each.
    """

    config: TableConfig
    lines: list[Line]
    sources: list[tuple[str, str]]
    summary: list[str]
    values: pd.DataFrame
    warnings: list[str]


def build_table(config: TableConfig, scores: Scores, outdated: Mapping[str, Sequence[str]] | None = None) -> Table:
    """Fill a table.

    Args:
        config: rows, columns, published values, differences.
        scores: content of scores.json by (experiment, run, seed); what is missing becomes a dash.
        outdated: runs of the table whose encoder is kept although something has changed since its training
            (`track_code: cheap`), and what.

    Raises:
        TspError: a scores.json lacks the metric of a column.
    """
    ours = {
        (row.run, c.experiment, c.metric): _sample(row.run, c, scores) for row in config.rows for c in config.columns
    }
    # The miniature is another data set: a difference to published values would be meaningless.
    stated = {} if config.miniature else {(p.run, p.experiment, p.metric): p for p in config.published}
    references = [] if config.miniature else config.references
    origins: list[PublishedConfig | ReferenceConfig] = [*stated.values(), *references]
    sources: list[tuple[str, str]] = list(dict.fromkeys((o.certainty, o.source) for o in origins))
    lines: list[Line] = []
    for row in config.rows:
        cells = [ours[row.run, c.experiment, c.metric] for c in config.columns]
        published = [stated.get((row.run, c.experiment, c.metric)) for c in config.columns]
        lines += _run_lines(row.label, cells, config.columns)
        lines += _published_lines(cells, published, config.columns, sources) if stated else []
    summary = []
    for difference in config.differences:
        paired = [_paired(ours, difference, c) for c in config.columns]
        lines += _difference_lines(difference.title, paired, config.columns)
        summary.append(f"{difference.title}, {config.columns[-1].title}: {_in_words(paired[-1], config.columns[-1])}.")
    lines += [_reference_line(reference, config.columns, sources) for reference in references]
    values = pd.DataFrame([*_csv_rows(config, ours, stated), *_reference_rows(references)], columns=COLUMNS)
    counts = {name: values[name].astype("Int64") for name in ("seed", "n", "n_positive")}
    warnings = [f"Outdated encoder {run}: {'; '.join(what)}." for run, what in (outdated or {}).items() if what]
    warnings += _of_trainings(config, scores)
    filled = values.assign(**counts)
    return Table(config=config, lines=lines, sources=sources, summary=summary, values=filled, warnings=warnings)


def write_table_files(table: Table, csv: str | Path, md: str | Path, html: str | Path) -> None:
    """Write the tidy CSV, Markdown that reads well in a terminal, and a self-contained HTML page."""
    write_table(table.values, csv)
    with atomic(md) as temporary:
        temporary.write_text(markdown(table), encoding="utf-8")
    write_standalone(html, table.config.title, fragment(table))


def markdown(table: Table) -> str:
    """The table as Markdown, columns aligned."""
    config = table.config
    header = ["features", *[c.title for c in config.columns]]
    rows = [[("· " if line.sub else "") + line.label, *line.cells] for line in table.lines]
    rows = [[cell.replace("|", "\\|") for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    padded = ["| " + " | ".join(_pad(cell, widths[i], i) for i, cell in enumerate(row)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    parts = [f"## {'[MINIATURE] ' if config.miniature else ''}{config.title}"]
    parts += [f"> **{MINIATURE}**"] if config.miniature else []
    parts += [config.note] if config.note else []
    parts += [" ".join(table.summary)] if table.summary else []
    parts += ["\n".join([padded[0], rule, *padded[1:]]), _legend(table)]
    parts += ["\n".join(f"[{n}] {certainty}: {source}  " for n, (certainty, source) in enumerate(table.sources, 1))]
    parts += [f"**{warning}**" for warning in table.warnings]
    return "\n\n".join(part for part in parts if part) + "\n"


def fragment(table: Table) -> str:
    """The table as a part of an HTML page."""
    config = table.config
    lines = [
        {"kind": line.kind, "sub": line.sub, "label": line.label, "cells": [_footnoted(cell) for cell in line.cells]}
        for line in table.lines
    ]
    values = {
        "title": config.title,
        "miniature": config.miniature,
        "warning": MINIATURE,
        "note": config.note,
        "warnings": table.warnings,
        "summary": " ".join(table.summary),
        "header": ["features", *[c.title for c in config.columns]],
        "lines": lines,
        "legend": _legend(table),
        "sources": table.sources,
    }
    return render("table.html.j2", values)


def _footnoted(cell: str) -> tuple[str, str]:
    """The text of a cell, and its `[number]` if there is one."""
    value, *footnote = FOOTNOTE.split(cell)
    return value, footnote[0] if footnote else ""


def _legend(table: Table) -> str:
    legend = "Ours: mean ± sample standard deviation over n seeds (trainings)."
    if table.config.differences:
        most = table.values.loc[table.values["kind"] == "paired_mean", "n"].max()
        legend += " Differences are paired: the same seed with either features."
        if most > 1:
            legend += (
                " p: two-sided paired t-test over the seeds, which takes the differences for normal; flipping signs,"
                f" without that assumption, can give no p below {least_exact(most):.2g} with {most} seeds. Encoders are"
                " trained once: seeds vary the downstream training alone."
            )
    for column in table.config.columns:
        protocol = next((text for start, text in PROTOCOLS.items() if column.metric.startswith(start)), None)
        legend += f" {column.title}: {protocol}." if protocol else ""
    legend += f" {DASH}: not run."
    if any(line.kind == "reference" for line in table.lines):
        legend += " Rows below: other people's, with other methods, features or code."
    return legend + (" Bracketed numbers: sources." if table.sources else "")


def _of_trainings(config: TableConfig, scores: Scores) -> list[str]:
    """Warnings in the scores of the table's cells; seeds and features that share one state it once."""
    runs, experiments = {row.run for row in config.rows}, {column.experiment for column in config.columns}
    found = (
        f"{experiment}: {text}."
        for (experiment, run, _), content in scores.items()
        if run in runs and experiment in experiments
        for text in content.get("warnings", [])
    )
    return list(dict.fromkeys(found))


def _sample(run: str, column: ColumnConfig, scores: Scores) -> Sample:
    found = {
        seed: column.scale * value
        for (experiment, name, seed), content in scores.items()
        if (experiment, name) == (column.experiment, run)
        and (value := metric_value(content, column.metric, f"scores of {experiment}, {name}, seed {seed}")) is not None
    }
    return Sample(seeds=dict(sorted(found.items())))


def _paired(ours: Mapping[tuple[str, str, str], Sample], difference: DifferenceConfig, column: ColumnConfig) -> Sample:
    plus, minus = (
        ours[run, column.experiment, column.metric].seeds for run in (difference.minuend, difference.subtrahend)
    )
    return Sample(seeds={seed: plus[seed] - minus[seed] for seed in plus if seed in minus})


def _run_lines(label: str, cells: list[Sample], columns: list[ColumnConfig]) -> list[Line]:
    lines = [Line(kind="ours", label=label, cells=[_mean(s, c) for s, c in zip(cells, columns, strict=True)])]
    return lines + _seed_lines("ours", cells, columns)


def _seed_lines(kind: str, cells: list[Sample], columns: list[ColumnConfig], *, sign: str = "") -> list[Line]:
    seeds = sorted({seed for sample in cells for seed in sample.seeds})
    if not seeds:
        return []
    texts = [
        " ".join(_number(s.seeds[k], c, sign) if k in s.seeds else DASH for k in seeds)
        for s, c in zip(cells, columns, strict=True)
    ]
    label = ("seed " if len(seeds) == 1 else "seeds ") + ", ".join(map(str, seeds))
    return [Line(kind=kind, label=label, cells=texts, sub=True)]


def _published_lines(
    cells: list[Sample],
    published: list[PublishedConfig | None],
    columns: list[ColumnConfig],
    sources: list[tuple[str, str]],
) -> list[Line]:
    texts = [
        f"{_number(p.value, c)} [{sources.index((p.certainty, p.source)) + 1}]" if p else DASH
        for p, c in zip(published, columns, strict=True)
    ]
    lines = [Line(kind="ours", label="published", cells=texts, sub=True)]
    both = [s.mean - p.value if p and s.mean is not None else None for s, p in zip(cells, published, strict=True)]
    if any(value is not None for value in both):
        texts = [DASH if v is None else _number(v, c, "+") for v, c in zip(both, columns, strict=True)]
        lines.append(Line(kind="ours", label="ours − published", cells=texts, sub=True))
    return lines


def _difference_lines(title: str, paired: list[Sample], columns: list[ColumnConfig]) -> list[Line]:
    lines = [
        Line(kind="difference", label=title, cells=[_mean(s, c, "+") for s, c in zip(paired, columns, strict=True)])
    ]
    lines += _seed_lines("difference", paired, columns, sign="+")
    if any(s.n for s in paired):
        texts = [f"{s.n_positive} of {s.n}" if s.n else DASH for s in paired]
        lines.append(Line(kind="difference", label="seeds positive", cells=texts, sub=True))
    tests = [paired_t(s.seeds.values()) for s in paired]
    if any(tests):
        texts = [DASH if test is None else probability(test[1]) for test in tests]
        lines.append(Line(kind="difference", label="p, paired t-test", cells=texts, sub=True))
    return lines


def _reference_line(reference: ReferenceConfig, columns: list[ColumnConfig], sources: list[tuple[str, str]]) -> Line:
    number = sources.index((reference.certainty, reference.source)) + 1
    found = [reference.values.get(c.metric) if c.experiment == reference.experiment else None for c in columns]
    cells = [DASH if v is None else f"{_number(v, c)} [{number}]" for v, c in zip(found, columns, strict=True)]
    return Line(kind="reference", label=reference.label, cells=cells)


def _reference_rows(references: Iterable[ReferenceConfig]) -> Iterable[dict[str, Any]]:
    for r in references:
        for metric, value in r.values.items():
            yield {
                "kind": "reference",
                "label": r.label,
                "experiment": r.experiment,
                "metric": metric,
                "value": value,
                "source": r.source,
                "certainty": r.certainty,
                "miniature": False,
            }


def probability(p: float) -> str:
    """Three decimals, or the power of ten it lies below."""
    return f"{p:.3f}" if p >= 0.0005 else "< 0.001"


def _in_words(paired: Sample, column: ColumnConfig) -> str:
    if not paired.n:
        return "not run"
    test = paired_t(paired.seeds.values())
    tested = "" if test is None else f", paired t-test p {'' if test[1] < 0.0005 else '= '}{probability(test[1])}"
    return f"{_mean(paired, column, '+')}, {paired.n_positive} of {paired.n} seeds positive{tested}"


def _mean(sample: Sample, column: ColumnConfig, sign: str = "") -> str:
    if sample.mean is None:
        return DASH
    spread = "" if sample.sd is None else f" ± {_number(sample.sd, column)}"
    return f"{_number(sample.mean, column, sign)}{spread} (n={sample.n})"


def _number(value: float, column: ColumnConfig, sign: str = "") -> str:
    shown = f"{value:{sign}.{column.decimals}f}"
    # A difference that rounds to nothing has no sign.
    return shown.lstrip("+-") if not float(shown) else shown.replace("-", "−")


def _pad(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def _csv_rows(
    config: TableConfig,
    ours: Mapping[tuple[str, str, str], Sample],
    stated: Mapping[tuple[str, str, str], PublishedConfig],
) -> Iterable[dict[str, Any]]:
    for row in config.rows:
        for column in config.columns:
            key = (row.run, column.experiment, column.metric)
            sample, published = ours[key], stated.get(key)
            base = dict(zip(("run", "experiment", "metric"), key, strict=True)) | {
                "label": row.label,
                "miniature": config.miniature,
            }
            yield from _sample_rows(base, sample, "")
            if published is not None:
                origin = {"source": published.source, "certainty": published.certainty}
                yield {**base, "kind": "published", "value": published.value, **origin}
                if sample.mean is not None:
                    yield {**base, "kind": "ours_minus_published", "value": sample.mean - published.value, **origin}
    for difference in config.differences:
        for column in config.columns:
            paired = _paired(ours, difference, column)
            base = {"run": difference.minuend, "subtrahend": difference.subtrahend, "label": difference.title}
            base |= {"experiment": column.experiment, "metric": column.metric}
            yield from _sample_rows({**base, "miniature": config.miniature}, paired, "paired_")


def _sample_rows(base: dict[str, Any], sample: Sample, prefix: str) -> Iterable[dict[str, Any]]:
    for seed, value in sample.seeds.items():
        yield {**base, "kind": f"{prefix}seed", "seed": seed, "value": value}
    more: dict[str, Any] = {"n_positive": sample.n_positive} if prefix else {}
    if prefix and (test := paired_t(sample.seeds.values())):
        more |= {"t": test[0], "p": test[1]}
    yield {**base, "kind": f"{prefix}mean", "value": sample.mean, "sd": sample.sd, "n": sample.n, **more}
