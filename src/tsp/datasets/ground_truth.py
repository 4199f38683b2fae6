"""The ground-truth table (clip index): Action rows from the annotations, No action rows by rule."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tsp.datasets.config import BackgroundConfig
from tsp.errors import TspError
from tsp.io.tables import ACTION, NO_ACTION, SEGMENT_COLUMNS, read_metadata, read_segments, require_numbers, write_table
from tsp.segments import background_clean, background_released, clip_seconds
from tsp.types import Segment, Video

log = logging.getLogger(__name__)
ALIASES = {"train": "training", "valid": "validation", "val": "validation", "testing": "test"}
# Field of the annotations: findings of `examine` that leave no certain background.
DOUBTS = "doubts"
# Fields of the annotations that are numbers of a video.
COUNTS = ("frames", "frame_rate", "duration_frame", "feature_frame")
RULES = {"released": background_released, "clean": background_clean}


def same_subset(a: str, b: str) -> bool:
    """Whether two subset names mean the same (`train` = `training`, `val` = `valid` = `validation`, ...)."""
    a, b = a.lower(), b.lower()
    return ALIASES.get(a, a) == ALIASES.get(b, b)


def subset_names(videos: Iterable[Video]) -> str:
    """The subsets of these videos and their sizes, for messages."""
    counts = Counter(video.subset for video in videos)
    return ", ".join(f"{name!r} ({n})" for name, n in sorted(counts.items())[:12]) or "none"


def read_source(reader: Callable[[list[Path]], list[Video]], paths: list[Path]) -> list[Video]:
    """Read annotations with the reader of a data set, or a ground-truth CSV in our own schema."""
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise TspError(f"{missing[0]}: no such annotation file")
    if len(paths) == 1 and paths[0].name.removesuffix(".gz").endswith("groundtruth.csv"):
        return _finite(_from_table(_actions(paths[0])))
    return _finite(reader(paths))


def _finite(videos: list[Video]) -> list[Video]:
    for video in videos:
        for segment in video.segments:
            if not (math.isfinite(segment.start_s) and math.isfinite(segment.end_s)):
                found = f"segment {segment.start_s:g} - {segment.end_s:g} s, {segment.label}"
                raise TspError(f"annotations of {video.name!r}: {found}: expected numbers of seconds; correct them")
        if video.duration_s is not None and not 0 <= video.duration_s < math.inf:
            raise TspError(
                f"annotations of {video.name!r}: duration {video.duration_s:g}: expected seconds; correct it"
            )
        for field in COUNTS:
            count = video.extra.get(field)
            if count is not None and (not isinstance(count, int | float) or not 0 <= count < math.inf):
                raise TspError(f"annotations of {video.name!r}: {field} {count!r:.80}: expected a number; correct it")
    # A duration of 0 says that it is not known.
    return [video if video.duration_s != 0 else replace(video, duration_s=None) for video in videos]


def _actions(path: Path) -> pd.DataFrame:
    table = read_segments(path)
    require_numbers(table, ["t-start", "t-end", "video-duration"], path)
    regions = table["temporal-region-label"]
    if not (known := regions.isin([ACTION, NO_ACTION])).all():
        raise TspError(
            f"{path}: temporal-region-label {regions[~known].iloc[0]!r}; expected {ACTION!r} or {NO_ACTION!r}"
        )
    return table[regions == ACTION]


def _from_table(actions: pd.DataFrame) -> list[Video]:
    return [
        Video(
            name=str(name),
            filename=str(rows["filename"].iloc[0]),
            subset="",
            duration_s=float(rows["video-duration"].iloc[0]),
            segments=tuple(
                Segment(start_s=float(r[0]), end_s=float(r[1]), label=str(r[2]))
                for r in rows[["t-start", "t-end", "action-label"]].itertuples(index=False, name=None)
            ),
        )
        for name, rows in actions.groupby("video-name", sort=False)
    ]


def ground_truth(
    videos: list[Video], metadata: pd.DataFrame, subset: str | None, background: BackgroundConfig
) -> pd.DataFrame:
    """Rows of one subset.

    Args:
        videos: annotations; those of another subset are skipped, an empty subset matches any.
        metadata: one row per standardised video; only videos in it get rows, in its order.
        subset: name of the subset, ours or that of the annotations; None: all.
        background: rule and shortest gap.

    Returns:
        A table of `SEGMENT_COLUMNS`: all Action rows in metadata order and, inside a video, annotation order;
        then all No action rows by video name and time. Times in seconds; Action rows are not clipped.

    Raises:
        TspError: no annotated video of the subset is in the metadata.

    Paper: section 3; tsp.md 2.
    """
    length = _released_length if background.rule == "released" else _length
    known = {v.filename: v for v in videos if subset is None or not v.subset or same_subset(v.subset, subset)}
    facts = [
        (known[f], length(frames, fps), float(fps), int(frames))
        for f, fps, frames in metadata[["filename", "fps", "video-frames"]].itertuples(index=False, name=None)
        if f in known and known[f].segments
    ]
    if not facts:
        raise TspError(
            f"no video of subset {subset!r} is in both annotations ({len(known)}) and metadata"
            f" ({len(metadata)}); file names must agree, found {next(iter(known), None)!r} and"
            f" {next(iter(metadata['filename']), None)!r}; the annotations have the subsets {subset_names(videos)}"
        )
    if unlabelled := len(metadata) - len(facts):
        log.warning("%d of %d videos have no action and no rows", unlabelled, len(metadata))
    rows = [
        (v.name, s.start_s, s.end_s, s.label, duration, v.filename, fps, frames, ACTION)
        for v, duration, fps, frames in facts
        for s in v.segments
    ]
    for video, duration, fps, frames in sorted(facts, key=lambda fact: fact[0].name):
        for start, end in _gaps(video, duration, background):
            rows.append((video.name, start, end, None, duration, video.filename, fps, frames, NO_ACTION))
    table = pd.DataFrame(rows, columns=SEGMENT_COLUMNS)
    log.info("%d Action and %d No action rows of %d videos", *_counts(table), len(facts))
    return table


def _gaps(video: Video, duration: float, background: BackgroundConfig) -> list[list[float]]:
    """Background of a video; where its actions are in doubt there is none."""
    if video.extra.get(DOUBTS):
        return []
    times = np.array([(s.start_s, s.end_s) for s in video.segments])
    found = RULES[background.rule](times[:, 0], times[:, 1], duration, background.min_clips * clip_seconds())
    return [[float(start), float(end)] for start, end in found]


def _length(frames: float, fps: float) -> float:
    return float(frames / fps)


def _released_length(frames: float, fps: float) -> float:
    """Duration in seconds, sometimes one unit in the last place away from frames / fps.

    The released files went through a CSV parser that scaled all digits by binary powers of ten. It is implemented
    here because current parsers are exact and the `released` rule must give byte-equal files.
    """
    whole, _, decimals = repr(_length(frames, fps)).partition(".")
    value = 0.0
    for digit in whole + decimals:
        value = value * 10.0 + int(digit)
    exponent, power = len(decimals), 10.0
    while exponent:
        if exponent & 1:
            value /= power
        exponent >>= 1
        power *= power
    return value


def _counts(table: pd.DataFrame) -> tuple[int, int]:
    actions = int((table["temporal-region-label"] == ACTION).sum())
    return actions, len(table) - actions


def write_ground_truth(
    videos: list[Video], metadata: Path, output: Path, subset: str | None, background: BackgroundConfig
) -> None:
    """Read the metadata CSV, write the ground-truth CSV of `ground_truth`."""
    write_table(ground_truth(videos, read_metadata(metadata), subset, background), output)
