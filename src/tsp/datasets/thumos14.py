"""THUMOS14 temporal annotations: 200 validation and 213 test videos, 20 classes and `Ambiguous`.

If the files state them, `extra` of a video holds numbers for methods that count original frames: `segment_frames` and
`ambiguous_frames` (first and last frame of actions and of Ambiguous segments), `frame_rate` and `frames` of the video.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.files import read_json
from tsp.io.tables import read_table, require_numbers
from tsp.names import file_name
from tsp.types import Segment, Video

CSV_COLUMNS = ["video", "type", "start", "end"]
FRAME_COLUMNS = ["startFrame", "endFrame"]
# G-TAD's `thumos14_test_groundtruth.csv`: frame rate and number of frames of the original videos.
FACT_COLUMNS = ["video-name", "video-duration", "frame-rate", "video-frames"]
AMBIGUOUS = "Ambiguous"
# Order of the per-class blocks of a video if it is not alphabetical; it decides ties of the background rule.
CLASS_ORDER = Path(__file__).parents[3] / "resources" / "thumos14_class_order.json"


def read(paths: list[Path]) -> list[Video]:
    """Read `val_Annotation.csv` / `test_Annotation.csv` (video, type, start, end) or a `database` JSON.

    Args:
        paths: one or more files, gzip accepted; of G-TAD's `thumos14_test_groundtruth.csv`, only durations and frame
            rates are read.

    Returns:
        Videos in name order without their `Ambiguous` segments; subset from the name (`validation`, `test`).

    Raises:
        TspError: unreadable, a column missing, or a video in two files.
    """
    videos: dict[str, Video] = {}
    facts = {path: found for path in paths if (found := _read_facts(path)) is not None}
    for path in paths:
        if path in facts:
            continue
        for video in _read_json(path) if Path(path).name.removesuffix(".gz").endswith(".json") else _read_csv(path):
            if video.name in videos:
                raise TspError(f"{path}: video {video.name!r} is also in another file")
            videos[video.name] = video
    for found in facts.values():
        for name, (seconds, extra) in found.items():
            if name in videos:
                video = videos[name]
                videos[name] = replace(video, duration_s=seconds, extra={**video.extra, **extra})
    return [videos[name] for name in sorted(videos)]


def _read_facts(path: Path) -> dict[str, tuple[float, dict[str, Any]]] | None:
    """Seconds, `frame_rate` and `frames` by video; None if the file is another table."""
    if ".json" in Path(path).name:
        return None
    table = read_table(path, [], FACT_COLUMNS[1:])
    if not set(FACT_COLUMNS) <= set(table.columns):
        return None
    rows = table.drop_duplicates("video-name")[FACT_COLUMNS].itertuples(index=False, name=None)
    return {name: (float(s), {"frame_rate": float(rate), "frames": int(frames)}) for name, s, rate, frames in rows}


def _read_csv(path: Path) -> list[Video]:
    table = read_table(path, CSV_COLUMNS, [*CSV_COLUMNS[2:], *FRAME_COLUMNS])
    require_numbers(table, [c for c in [*CSV_COLUMNS[2:], *FRAME_COLUMNS] if c in table.columns], path)
    order = read_json(CLASS_ORDER)
    return [_video(str(name), rows, order) for name, rows in table.groupby("video", sort=False)]


def _read_json(path: Path) -> list[Video]:
    return [
        Video(
            name=v.name,
            filename=file_name(v.name),
            subset=_subset(v.name),
            duration_s=v.duration_s,
            segments=tuple(s for s in v.segments if s.label != AMBIGUOUS),
            extra=v.extra,
        )
        for v in read_annotations(path)
    ]


def _video(name: str, rows: pd.DataFrame, order: dict[str, list[str]]) -> Video:
    blocks = order.get(name)
    if blocks:
        rank = rows["type"].map(lambda label: blocks.index(label) if label in blocks else len(blocks))
        rows = rows.iloc[rank.argsort(kind="stable")]
    ambiguous = rows["type"] == AMBIGUOUS
    segments = tuple(
        Segment(start_s=float(start), end_s=float(end), label=str(label))
        for start, end, label in rows.loc[~ambiguous, ["start", "end", "type"]].to_numpy().tolist()
    )
    kind = {"subset": _subset(name), "duration_s": None, "extra": _frames(rows, ambiguous)}
    return Video(name=name, filename=file_name(name), segments=segments, **kind)  # type: ignore[arg-type]


def _frames(rows: pd.DataFrame, ambiguous: "pd.Series[bool]") -> dict[str, Any]:
    if not set(FRAME_COLUMNS) <= set(rows.columns):
        return {}
    found: dict[str, Any] = {"segment_frames": rows.loc[~ambiguous, FRAME_COLUMNS].to_numpy().tolist()}
    if ambiguous.any():
        found["ambiguous_frames"] = rows.loc[ambiguous, FRAME_COLUMNS].to_numpy().tolist()
    if rows["end"].sum() > 0:
        # 24, 25 or 30; 29.97 counts as 30.
        found["frame_rate"] = float(round(rows["endFrame"].sum() / rows["end"].sum()))
    return found


def _subset(name: str) -> str:
    return "validation" if "validation" in name else "test"
