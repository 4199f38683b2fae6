"""CSV tables: video lists, manifests, metadata and ground-truth segments."""

import csv
import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from tsp.errors import TspError
from tsp.io.files import atomic, encoded, read_text

LIST_COLUMNS = ["video", "filename", "source"]
METADATA_COLUMNS = ["filename", "video-duration", "fps", "video-frames"]
FACT_COLUMNS = ["offset", "video-start", "audio-start", "audio", "damaged_share", "notes"]
MANIFEST_COLUMNS = [*LIST_COLUMNS[:2], "status", "reason", "bytes", "sha256", *FACT_COLUMNS, *METADATA_COLUMNS[1:]]
SEGMENT_COLUMNS = [
    "video-name",
    "t-start",
    "t-end",
    "action-label",
    "video-duration",
    "filename",
    "fps",
    "video-frames",
    "temporal-region-label",
]
ACTION, NO_ACTION = "Action", "No action"
# Ids such as "NA", "null" or "1e5" are names, not missing values or numbers.
TEXT_COLUMNS = [
    "video",
    "filename",
    "source",
    "status",
    "reason",
    "sha256",
    "video-name",
    "action-label",
    "audio",
    "notes",
]

NUMBER_COLUMNS = [
    "video-duration",
    "fps",
    "video-frames",
    "bytes",
    "t-start",
    "t-end",
    *FACT_COLUMNS[:3],
    "damaged_share",
]


def read_table(path: str | Path, columns: list[str], numbers: Collection[str] = ()) -> pd.DataFrame:
    """Read a CSV (gzip accepted) that must have `columns`.

    Columns are text and keep their characters ("1.10", "01", "NA"), those of `NUMBER_COLUMNS` and `numbers` excepted.

    Args:
        path: the file.
        columns: names of columns that it must have.
        numbers: further columns that are numbers.

    Raises:
        TspError: unreadable, empty, a column missing, or a row with more or fewer fields than the header.
    """
    text = read_text(path)
    header = _header(text, path)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            dtype={c: str for c in header if c not in NUMBER_COLUMNS and c not in numbers},
            keep_default_na=False,
            na_values={c: [""] for c in NUMBER_COLUMNS},
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise TspError(f"{path}: not a CSV table with a header line ({error})") from error
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise TspError(f"{path}: column {missing[0]!r} is missing; found {', '.join(table.columns)}")
    return table


def _header(text: str, path: str | Path) -> list[str]:
    """Names of the columns; pandas would shift the fields of a row that has more of them."""
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(rows, [])
        if twice := [name for k, name in enumerate(header) if name and name in header[:k]]:
            raise TspError(f"{path}: column {twice[0]!r} occurs twice; remove or rename one of them")
        for row in rows:
            if row and len(row) != len(header):
                found = f"{len(row)} fields, but the header has {len(header)}"
                raise TspError(f"{path}: line {rows.line_num}: {found} ({', '.join(header)[:100]})")
    except csv.Error as error:
        raise TspError(f"{path}: line {rows.line_num}: not a CSV table ({error})") from error
    return header


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a CSV: UTF-8, LF, shortest round-trip floats, atomically."""
    text = table.to_csv(None, index=False, lineterminator="\n")
    if "\r" in text:  # ends a line unless it is quoted, which it is not by default
        text = table.to_csv(None, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    with atomic(path) as temporary:
        temporary.write_bytes(encoded(text, path))


def require_numbers(table: pd.DataFrame, columns: Collection[str], path: str | Path) -> None:
    """Raise for a field of these columns that is empty or no number."""
    for column in columns:
        bad = pd.to_numeric(table[column], errors="coerce").isna()
        if table[column].dtype == bool or bad.any():
            value = table[column][bad].iloc[0] if bad.any() else table[column].iloc[0]
            row = f"row {int(bad.to_numpy().argmax()) + 1} below the header"
            raise TspError(f"{path}: {row}: {column} is {value!r}, expected a number")


def read_metadata(path: str | Path) -> pd.DataFrame:
    """Read a metadata CSV: one row per standardised video, duration in seconds = frames / fps.

    Raises:
        TspError: a column is missing or a value is not a number.
    """
    table = read_table(path, METADATA_COLUMNS)
    for column in METADATA_COLUMNS[1:]:
        bad = pd.to_numeric(table[column], errors="coerce").isna() & table[column].notna()
        if bad.any():
            row = table[bad].iloc[0]
            raise TspError(f"{path}: {row['filename']}: {column} is {row[column]!r}, expected a number")
    return table


def read_manifest(path: str | Path) -> pd.DataFrame:
    """Read a manifest CSV: one row per video with status and reason."""
    return read_table(path, MANIFEST_COLUMNS)


def write_manifest(rows: list[dict[str, Any]], path: str | Path) -> None:
    """Write a manifest CSV; integers stay integers next to missing values."""
    write_table(whole_numbers(pd.DataFrame(rows, columns=MANIFEST_COLUMNS)), path)


def manifest_rows(path: str | Path) -> list[dict[str, Any]]:
    """Rows of a manifest CSV, by column."""
    table = read_manifest(path)[MANIFEST_COLUMNS]
    return [dict(zip(MANIFEST_COLUMNS, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def whole_numbers(manifest: pd.DataFrame) -> pd.DataFrame:
    """A manifest with `bytes` and `video-frames` as nullable integers."""
    return manifest.astype({"bytes": "Int64", "video-frames": "Int64"})


def read_segments(path: str | Path) -> pd.DataFrame:
    """Read a ground-truth CSV with its Action and No action rows (times in seconds)."""
    return read_table(path, SEGMENT_COLUMNS)
