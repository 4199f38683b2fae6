"""Reader for a directory of videos, with or without a table of segments (docs/your_videos.md)."""

import unicodedata
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tsp.errors import TspError
from tsp.io.annotations import read_number
from tsp.io.tables import read_table
from tsp.names import feature_key, file_name
from tsp.types import Segment, Video
from tsp.video.raw import only_one, videos_below

COLUMNS = ["video", "t-start", "t-end", "label"]
# Subset of videos that the table assigns to no other.
ALL = "all"


def read(paths: list[Path]) -> list[Video]:
    """Read a directory of videos and an optional table of their segments.

    Args:
        paths: the directory, searched to any depth; and at most one CSV with the columns `video` (file name, with
            or without ending), `t-start` and `t-end` (seconds), `label`, and optionally `subset`. A row with empty
            times states the subset of a video without actions.

    Returns:
        Videos sorted by name: `name` is the stem of the file, `subset` is from the table or `all`; no duration, since
        the probed one is used.

    Raises:
        TspError: no directory, no video in it, two videos with the same stem, or an invalid row of the table.
    """
    folders, tables = [p for p in paths if p.is_dir()], [p for p in paths if not p.is_dir()]
    if len(folders) != 1 or len(tables) > 1:
        raise TspError(f"folder: expected one directory of videos and at most one CSV, got {[str(p) for p in paths]}")
    videos: dict[str, Video] = {}
    for name, found in videos_below(folders[0]).items():
        videos[name] = Video(
            name=name, filename=file_name(name), subset=ALL, duration_s=None, segments=(), source=str(only_one(found))
        )
    if not videos:
        raise TspError(f"{folders[0]}: no video in this directory (hidden files and files beside videos do not count)")
    for table in tables:
        _add_rows(videos, table)
    return [videos[name] for name in sorted(videos)]


def _add_rows(videos: dict[str, Video], path: Path) -> None:
    rows = read_table(path, COLUMNS)
    for number, row in enumerate(rows.to_dict("records"), 2):
        where = f"{path}: line {number}"
        stated = unicodedata.normalize("NFC", str(row["video"]))
        name = stated if stated in videos else feature_key(stated)
        if name not in videos:
            raise TspError(f"{where}: no video {stated!r} in the directory")
        video = videos[name]
        subset = str(row["subset"]) if not _empty(row.get("subset")) else video.subset
        if video.subset not in (ALL, subset):
            raise TspError(f"{where}: {stated!r} is in subset {video.subset!r} above and in {subset!r} here")
        segments = video.segments
        if not (_empty(row["t-start"]) and _empty(row["t-end"])):
            segments = (*segments, _segment(row, where))
        elif not _empty(row["label"]):
            raise TspError(f"{where}: label {row['label']!r} without times; state t-start and t-end, or no label")
        videos[name] = replace(video, subset=subset, segments=segments)


def _segment(row: Mapping[Hashable, Any], where: str) -> Segment:
    try:
        start, end = (read_number(row[column], column) for column in ("t-start", "t-end"))
    except (TypeError, ValueError):
        raise TspError(f"{where}: t-start {row['t-start']!r} and t-end {row['t-end']!r}: expected seconds") from None
    if not 0 <= start < end or _empty(row["label"]):
        found = f"segment {start:g} - {end:g} s, label {row['label']!r}"
        raise TspError(f"{where}: {found}: expected 0 <= start < end and a label")
    return Segment(start_s=start, end_s=end, label=str(row["label"]))


def _empty(value: Any) -> bool:
    return value is None or value == "" or bool(pd.isna(value))
