"""The canonical annotation file: ActivityNet's JSON, one entry per video, any data set."""

from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import read_json, write_json
from tsp.types import Segment, Video

KNOWN = {"subset", "duration", "filename", "source", "annotations"}


def write_annotations(path: str | Path, videos: list[Video], *, version: str = "tsp canonical 1") -> None:
    """Write videos in list order; official evaluators read the file as ground truth."""
    database: dict[str, Any] = {}
    for video in videos:
        if video.name in database:
            raise TspError(f"{path}: video {video.name!r} is annotated twice")
        database[video.name] = {
            "subset": video.subset,
            "duration": video.duration_s,
            "filename": video.filename,
            "source": video.source,
            "annotations": [{"segment": [s.start_s, s.end_s], "label": s.label} for s in video.segments],
            **video.extra,
        }
    write_json(path, {"version": version, "taxonomy": [], "database": database})


def read_annotations(path: str | Path) -> list[Video]:
    """Read the canonical file (or any ActivityNet-style JSON) in file order.

    Raises:
        TspError: no `database`, or an entry that is none; the message names the video.
    """
    document = read_json(path)
    database = document.get("database") if isinstance(document, dict) else None
    if not isinstance(database, dict):
        raise TspError(f"{path}: no 'database' object; expected ActivityNet-style annotations")
    return [_video(name, entry, f"{path}: database[{name!r}]") for name, entry in database.items()]


def _video(name: str, entry: Any, where: str) -> Video:
    try:
        segments = tuple(
            Segment(start_s=float(a["segment"][0]), end_s=float(a["segment"][1]), label=str(a["label"]))
            for a in entry.get("annotations", [])
        )
        duration = entry.get("duration")
        return Video(
            name=name,
            filename=str(entry.get("filename", f"{name}.mp4")),
            subset=str(entry["subset"]),
            duration_s=None if duration is None else float(duration),
            segments=segments,
            source=str(entry.get("source", entry.get("url", ""))),
            extra={k: v for k, v in entry.items() if k not in KNOWN},
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise TspError(f"{where}: expected subset and annotations with segment and label ({error!r})") from error
