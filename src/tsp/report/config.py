"""Configuration of a table, an entry of `config/tables.yaml`."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from tsp.errors import TspError


@dataclass(frozen=True, kw_only=True)
class RowConfig:
    """A row: the features of one run."""

    run: str
    """Entry of `runs:`."""
    label: str
    """Text of the row."""


@dataclass(frozen=True, kw_only=True)
class ColumnConfig:
    """A column: one metric of one experiment."""

    experiment: str
    """Entry of `experiments:`."""
    metric: str
    """`mAP@<tIoU>`, `average_mAP`, `AR@<number>`, or another number of scores.json.

    Captions of annotated segments: `annotated_METEOR` and the like are means over tIoU 0.3, 0.5, 0.7 and 0.9 (BMT's
    published scores), `annotated_tiou50_METEOR` and the like are at tIoU 0.5 (the TSP authors' script).
    """
    title: str
    """Text above the column."""
    scale: float = 100.0
    """Factor from scores.json (fractions) to the table; published values are stated in the table's unit."""
    decimals: int = 2
    """Digits shown."""


@dataclass(frozen=True, kw_only=True)
class PublishedConfig:
    """A published value of one cell, with its origin."""

    run: str
    """Row it belongs to."""
    experiment: str
    """Experiment of the column."""
    metric: str
    """Metric of the column, spelt as there."""
    value: float
    """In the table's unit (percent where `scale` is 100)."""
    source: str
    """Where it was read."""
    certainty: Literal["verified", "second-hand", "recalled"]
    """`verified`: read in the paper itself; `second-hand`: at least one named source; `recalled`: not checked."""


@dataclass(frozen=True, kw_only=True)
class DifferenceConfig:
    """A row of paired differences, seed by seed."""

    title: str
    """Text of the row."""
    minuend: str
    """Run from which is subtracted."""
    subtrahend: str
    """Run that is subtracted."""


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """A row of other people's numbers: another method, other features, or another implementation."""

    label: str
    """Text of the row."""
    experiment: str
    """Experiment of the columns."""
    values: dict[str, float]
    """Metric of a column -> value in the table's unit; columns without one show a dash."""
    source: str
    """Where it was read."""
    certainty: Literal["verified", "second-hand", "recalled"]
    """As in `published`."""


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """A table: rows are runs, columns are metrics of experiments."""

    title: str
    """Heading."""
    note: str = ""
    """What a reader must know to read it."""
    miniature: bool = False
    """The numbers are those of the embedded miniature: labelled as such, never set against published ones."""
    rows: list[RowConfig]
    """Rows from top to bottom."""
    columns: list[ColumnConfig]
    """Columns from left to right."""
    published: list[PublishedConfig] = field(default_factory=list)
    """Published values; a cell without one shows a dash."""
    differences: list[DifferenceConfig] = field(default_factory=list)
    """Rows of paired differences below the runs."""
    references: list[ReferenceConfig] = field(default_factory=list)
    """Rows of other people's numbers at the end."""
    overlay: str | None = None
    """Video that is rendered with its predictions; null: the first with two actions."""

    def __post_init__(self) -> None:
        runs = [row.run for row in self.rows]
        cells = [(c.experiment, c.metric) for c in self.columns]
        _once("rows", runs)
        _once("columns", cells)
        _once("published", [(p.run, p.experiment, p.metric) for p in self.published])
        for p in self.published:
            _known("published", p.run, runs, "row")
            _known("published", (p.experiment, p.metric), cells, "column")
        for d in self.differences:
            _known("differences", d.minuend, runs, "row")
            _known("differences", d.subtrahend, runs, "row")
        for r in self.references:
            for metric in r.values:
                _known("references", (r.experiment, metric), cells, "column")


def _once(key: str, names: Iterable[object]) -> None:
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise TspError(f"{key}: {_text(twice[0])} is listed twice")


def _known(key: str, name: object, allowed: list[object] | list[str] | list[tuple[str, str]], kind: str) -> None:
    if name not in allowed:
        raise TspError(f"{key}: {_text(name)} is not a {kind} of this table; allowed: {', '.join(map(_text, allowed))}")


def _text(name: object) -> str:
    return " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
