"""CSV tables: video lists, manifests, metadata and ground-truth segments."""

import io
from pathlib import Path
from typing import Any

import pandas as pd

from tsp.errors import TspError
from tsp.io.files import atomic, encoded, read_text

LIST_COLUMNS = ["video", "filename", "source"]
METADATA_COLUMNS = ["filename", "video-duration", "fps", "video-frames"]
MANIFEST_COLUMNS = [*LIST_COLUMNS[:2], "status", "reason", "bytes", "sha256", *METADATA_COLUMNS[1:]]
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
TEXT_COLUMNS = ["video", "filename", "source", "status", "reason", "sha256", "video-name", "action-label"]


def read_table(path: str | Path, columns: list[str]) -> pd.DataFrame:
    """Read a CSV (gzip accepted) that must have `columns`.

    Raises:
        TspError: unreadable, empty, or a column missing.
    """
    text = read_text(path)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            dtype=dict.fromkeys(TEXT_COLUMNS, str),
            keep_default_na=False,
            na_values={c: [""] for c in ["video-duration", "fps", "video-frames", "bytes", "t-start", "t-end"]},
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise TspError(f"{path}: not a CSV table with a header line ({error})") from error
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise TspError(f"{path}: column {missing[0]!r} is missing; found {', '.join(table.columns)}")
    return table


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a CSV: UTF-8, LF, shortest round-trip floats, atomically."""
    text = table.to_csv(None, index=False, lineterminator="\n")
    with atomic(path) as temporary:
        temporary.write_bytes(encoded(text, path))


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
