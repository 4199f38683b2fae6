"""ActivityNet v1.3 annotations: as published, in the form that BMN and G-TAD share, and their list of videos.

The files complete one another. The official JSON has addresses and subsets; `anet_anno_action.json` of BMN the numbers
of frames that the time base of BMN and G-TAD uses; `video_info_new.csv` the videos that these methods count.
"""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from tsp.datasets.ground_truth import same_subset
from tsp.errors import TspError
from tsp.io.annotations import read_annotations, read_number, read_segment
from tsp.io.files import read_json
from tsp.io.tables import read_table
from tsp.names import ACTIVITYNET, activitynet_names, file_name
from tsp.types import Video

log = logging.getLogger(__name__)
LIST_COLUMNS = ["video", "subset"]
CLASS_COLUMN = "action"
# Seconds by which two files may differ: they write the same times with other last digits.
SAME_S = 0.01


def read(paths: list[Path]) -> list[Video]:
    """Read one or more files, gzip accepted, at most one of each kind.

    Args:
        paths: the official JSON (`database`); BMN's `anet_anno_action.json` (prefixed names, no subsets, numbers of
            frames); its `video_info_new.csv` (`video`, `subset`: only these videos, in this order, with these
            subsets); its `action_name.csv` (`action`: the names that labels must have).

    Returns:
        Videos in the order of the list, or else of the files; segments unscaled, unclipped, duplicates kept. If two
        files state the same of a video, the first one counts, except that a list decides on subsets. Without a list or
        the official file, subsets are empty.

    Raises:
        TspError: of no known form, two files of one kind, no annotations, a listed video without annotations, or a
            label that is not in the list of actions.
    """
    found = {path: _kind(path) for path in paths}
    for kind, number in Counter(kind for kind, _ in found.values()).items():
        if number > 1:
            named = ", ".join(str(path) for path in paths if found[path][0] == kind)
            raise TspError(f"activitynet: expected one file of each kind, got {number} with {kind}: {named}")
    videos: dict[str, Video] = {}
    for path, (_, content) in found.items():
        if isinstance(content, list):
            videos = _completed(videos, content, path) if videos else {video.name: video for video in content}
    if not videos:
        raise TspError(f"activitynet: no annotations in {[str(path) for path in paths]}; add the official JSON")
    for path, (kind, content) in found.items():
        if kind == "subsets":
            videos = _listed(videos, content, path)
        elif kind == "actions":
            _check_labels(videos, content, path)
    return list(videos.values())


def _kind(path: Path) -> tuple[str, Any]:
    """Kind of a file in words, and its content: videos, subset by name, or names of actions."""
    if path.name.removesuffix(".gz").endswith(".csv"):
        table = read_table(path, [])
        if CLASS_COLUMN in table.columns:
            return "actions", set(table[CLASS_COLUMN])
        table = read_table(path, LIST_COLUMNS)
        names = activitynet_names(table["video"].tolist())
        twice = [name for name, number in Counter(names).items() if number > 1]
        if twice:
            raise TspError(f"{path}: video {twice[0]!r} occurs twice")
        return "subsets", dict(zip(names, table["subset"], strict=True))
    document = read_json(path, unique=True)
    if isinstance(document, dict) and "database" in document:
        videos = read_annotations(path)
        names = activitynet_names([video.name for video in videos])
        return "a database", [_named(video, name) for video, name in zip(videos, names, strict=True)]
    if not isinstance(document, dict) or not document:
        raise TspError(f"{path}: expected an object with 'database', or one entry per video")
    return "one entry per video", [_bmn_video(name, entry, f"{path}: {name!r}") for name, entry in document.items()]


def _completed(videos: dict[str, Video], more: list[Video], path: Path) -> dict[str, Video]:
    """Videos with what another file knows of them besides."""
    found, different = dict(videos), []
    for video in more:
        known = found.get(video.name)
        if known is None:
            found[video.name] = video
            continue
        if not _agree(known, video):
            different.append(video.name)
        found[video.name] = replace(
            known,
            subset=known.subset or video.subset,
            duration_s=video.duration_s if known.duration_s is None else known.duration_s,
            segments=known.segments or video.segments,
            source=known.source or video.source,
            extra={**video.extra, **known.extra},
        )
    if different:
        text = "%s: duration or actions of %d videos differ from those of the file before it, which count, such as %r"
        log.warning(text, path, len(different), different[0])
    return found


def _agree(one: Video, other: Video) -> bool:
    durations = [video.duration_s for video in (one, other) if video.duration_s is not None]
    if durations and max(durations) - min(durations) > max(1.0, SAME_S * max(durations)):
        return False
    if not one.segments or not other.segments:
        return True
    pairs = list(zip(one.segments, other.segments, strict=False))
    return len(one.segments) == len(other.segments) and all(
        a.label == b.label and abs(a.start_s - b.start_s) < SAME_S and abs(a.end_s - b.end_s) < SAME_S for a, b in pairs
    )


def _listed(videos: dict[str, Video], subsets: dict[str, str], path: Path) -> dict[str, Video]:
    """The videos of a list, in its order and with its subsets."""
    missing = [name for name in subsets if name not in videos]
    if missing:
        raise TspError(
            f"{path}: {len(missing)} of {len(subsets)} videos have no annotations, such as {missing[0]!r};"
            " add the file that annotates them to `annotations`"
        )
    moved = [
        name for name, subset in subsets.items() if videos[name].subset and not same_subset(videos[name].subset, subset)
    ]
    if moved:
        log.warning("%s: %d videos are in another subset than annotated, such as %r", path, len(moved), moved[0])
    log.info("%s: %d of %d annotated videos", path, len(subsets), len(videos))
    return {name: replace(videos[name], subset=subset) for name, subset in subsets.items()}


def _check_labels(videos: dict[str, Video], actions: set[str], path: Path) -> None:
    for video in videos.values():
        unknown = next((s.label for s in video.segments if s.label not in actions), None)
        if unknown is not None:
            raise TspError(
                f"{path}: the label {unknown!r} of video {video.name!r} is none of its {len(actions)} actions"
            )


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
            duration_s=read_number(entry["duration_second"], "duration_second"),
            segments=tuple(read_segment(a, f"{where}: annotations[{n}]") for n, a in enumerate(entry["annotations"])),
            extra={k: entry[k] for k in ("duration_frame", "feature_frame") if k in entry},
        )
    except TspError:
        raise
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise TspError(f"{where}: expected duration_second and annotations ({error!r})") from error
