"""ActivityNet v1.3 annotations, as published or in the form that BMN and G-TAD share."""

from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.files import read_json
from tsp.names import ACTIVITYNET, activitynet_names, file_name
from tsp.types import Segment, Video


def read(paths: list[Path]) -> list[Video]:
    """Read the official JSON (`database`), or BMN's `anet_anno_action.json` (prefixed names, no subsets).

    Args:
        paths: one annotation file, gzip accepted.

    Returns:
        Videos in file order; segments unscaled, unclipped, duplicates kept. BMN's file states no subsets:
        they are empty.

    Raises:
        TspError: not one file, or of neither form.
    """
    if len(paths) != 1:
        raise TspError(f"activitynet: expected one annotation file, got {len(paths)}")
    document = read_json(paths[0])
    if isinstance(document, dict) and "database" in document:
        videos = read_annotations(paths[0])
        names = activitynet_names([video.name for video in videos])
        return [_named(video, name) for video, name in zip(videos, names, strict=True)]
    if not isinstance(document, dict) or not document:
        raise TspError(f"{paths[0]}: expected an object with 'database', or one entry per video")
    return [_bmn_video(name, entry, f"{paths[0]}: {name!r}") for name, entry in document.items()]


def _named(video: Video, name: str) -> Video:
    return Video(
        name=name,
        filename=file_name(name, ACTIVITYNET),
        subset=video.subset,
        duration_s=video.duration_s,
        segments=video.segments,
        source=video.source,
        extra={k: v for k, v in video.extra.items() if k != "resolution"},
    )


def _bmn_video(name: str, entry: dict[str, Any], where: str) -> Video:
    try:
        name = name.removeprefix(ACTIVITYNET)
        return Video(
            name=name,
            filename=file_name(name, ACTIVITYNET),
            subset=str(entry.get("subset", "")),
            duration_s=float(entry["duration_second"]),
            segments=tuple(
                Segment(start_s=float(a["segment"][0]), end_s=float(a["segment"][1]), label=str(a["label"]))
                for a in entry["annotations"]
            ),
            extra={k: entry[k] for k in ("duration_frame", "feature_frame") if k in entry},
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise TspError(f"{where}: expected duration_second and annotations ({error!r})") from error
