"""The canonical annotation file of any data set: the JSON of ActivityNet, one entry per video."""

import math
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import read_json, write_json
from tsp.names import file_name
from tsp.types import Segment, Video

# Field of a video: shares of its length that its instances cover, where the annotations state them (DETAD's files).
COVERAGE = "coverage"
KNOWN = {"subset", "duration", "filename", "source", "annotations"}


def write_annotations(path: str | Path, videos: list[Video], *, version: str = "tsp canonical 1") -> None:
    """Write videos in list order; official evaluation code can read the file as ground truth."""
    database: dict[str, Any] = {}
    for video in videos:
        if video.name in database:
            raise TspError(f"{path}: video {video.name!r} occurs twice")
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
        TspError: no `database`, or an invalid entry; the message names the video.
    """
    document = read_json(path, unique=True)
    database = document.get("database") if isinstance(document, dict) else None
    if not isinstance(database, dict):
        raise TspError(f"{path}: no 'database' object; expected ActivityNet-style annotations")
    return [_video(name, entry, f"{path}: database[{name!r}]") for name, entry in database.items()]


def _video(name: str, entry: Any, where: str) -> Video:
    annotations = entry.get("annotations", []) if isinstance(entry, dict) else None
    if not isinstance(annotations, list):
        raise TspError(f"{where}: expected an object with a subset and a list of annotations")
    segments = tuple(read_segment(a, f"{where}: annotations[{n}]") for n, a in enumerate(annotations))
    try:
        duration, doubts = entry.get("duration"), entry.get("doubts", [])
        if not isinstance(entry["subset"], str):
            raise TypeError(f"subset {entry['subset']!r:.80}")
        if not isinstance(doubts, list) or not all(isinstance(one, str) for one in doubts):
            raise TypeError(f"doubts {doubts!r:.80}: expected names of findings")
        return Video(
            name=name,
            filename=str(entry.get("filename", file_name(name))),
            subset=str(entry["subset"]),
            duration_s=None if duration is None else read_number(duration, "duration"),
            segments=segments,
            source=str(entry.get("source", entry.get("url", ""))),
            extra={k: v for k, v in entry.items() if k not in KNOWN} | _coverage(annotations),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise TspError(f"{where}: expected a subset and, if any, a duration in seconds ({error!r})") from error


def _coverage(annotations: list[dict[str, Any]]) -> dict[str, list[float]]:
    if not annotations or any(a.get(COVERAGE) is None for a in annotations):
        return {}
    shares = [read_number(a[COVERAGE], COVERAGE) for a in annotations]
    if not all(0 <= share < math.inf for share in shares):
        raise ValueError(f"coverage {shares!r:.80}")
    return {COVERAGE: shares}


def read_number(value: Any, what: str) -> float:
    """A number of a file; Python's float also takes truth values, and digits with underscores.

    Raises:
        TypeError, ValueError, OverflowError: `what`, and the value.
    """
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise TypeError(f"{what} {value!r:.80}")
    return float(value)


def read_segment(annotation: Any, where: str) -> Segment:
    """A segment with a label as ActivityNet writes it; `where` names it in errors."""
    try:
        times = annotation["segment"]
        if not isinstance(times, list):
            raise TypeError(f"segment is {times!r:.80}")
        start, end = (read_number(time, f"segment is {times!r:.80}, and a time") for time in times)
        label = annotation["label"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise TspError(f"{where}: expected segment [start, end] in seconds and a label ({error!r})") from error
    if not isinstance(label, str):
        raise TspError(f"{where}: the label is {label!r:.80}; expected text")
    return Segment(start_s=start, end_s=end, label=label)
