"""THUMOS14 temporal annotations: 200 validation and 213 test videos, 20 classes and `Ambiguous`."""

from pathlib import Path

import pandas as pd

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.files import read_json
from tsp.io.tables import read_table
from tsp.types import Segment, Video

CSV_COLUMNS = ["video", "type", "start", "end"]
# Order of the per-class blocks of a video where it is not alphabetical; ties of the background rule need it.
CLASS_ORDER = Path(__file__).parents[3] / "resources" / "thumos14_class_order.json"


def read(paths: list[Path]) -> list[Video]:
    """Read `val_Annotation.csv` / `test_Annotation.csv` (video, type, start, end) or a `database` JSON.

    Args:
        paths: one or more files, gzip accepted.

    Returns:
        Videos in name order without their `Ambiguous` segments; subset from the name (`validation`, `test`).

    Raises:
        TspError: unreadable, a column missing, or a video in two files.
    """
    videos: dict[str, Video] = {}
    for path in paths:
        for video in _read_json(path) if Path(path).name.removesuffix(".gz").endswith(".json") else _read_csv(path):
            if video.name in videos:
                raise TspError(f"{path}: video {video.name!r} is in another file too")
            videos[video.name] = video
    return [videos[name] for name in sorted(videos)]


def _read_csv(path: Path) -> list[Video]:
    table = read_table(path, CSV_COLUMNS)
    order = read_json(CLASS_ORDER)
    return [_video(str(name), rows, order) for name, rows in table.groupby("video", sort=False)]


def _read_json(path: Path) -> list[Video]:
    return [
        Video(
            name=v.name,
            filename=f"{v.name}.mp4",
            subset=_subset(v.name),
            duration_s=v.duration_s,
            segments=tuple(s for s in v.segments if s.label != "Ambiguous"),
            extra=v.extra,
        )
        for v in read_annotations(path)
    ]


def _video(name: str, rows: pd.DataFrame, order: dict[str, list[str]]) -> Video:
    segments = [
        Segment(start_s=float(start), end_s=float(end), label=str(label))
        for start, end, label in rows[["start", "end", "type"]].to_numpy().tolist()
        if label != "Ambiguous"
    ]
    blocks = order.get(name)
    if blocks:
        segments.sort(key=lambda s: blocks.index(s.label) if s.label in blocks else len(blocks))
    return Video(name=name, filename=f"{name}.mp4", subset=_subset(name), duration_s=None, segments=tuple(segments))


def _subset(name: str) -> str:
    return "validation" if "validation" in name else "test"
