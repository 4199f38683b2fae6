"""Ground truth and predictions as arrays, from the ActivityNet files or made in memory."""

import array
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsp.errors import TspError
from tsp.io.annotations import COVERAGE, read_annotations
from tsp.io.files import read_json
from tsp.io.predictions import read_predictions
from tsp.names import ACTIVITYNET, feature_key, possible_keys
from tsp.types import Segment, Video

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DUPLICATE_S = 1e-3
UNKNOWN = -1
DURATION_COLUMNS = ["filename", "video-duration"]
TIMELESS = (0.0, 1.0)  # entries without segment: any that is neither empty nor reversed
# Number of the video, label, start and end in seconds.
Row = tuple[int, str, float, float]
# Entry, video and index in the video -> class number, None to skip it.
LabelOf = Callable[[dict[str, Any], str, int], int | None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """The counted instances of one subset.

    Args:
        videos: `V` names, those without instances included.
        classes: `K` labels in order of first appearance.
        video: `[N]` index into `videos`.
        label: `[N]` index into `classes`.
        segments: `[N, 2]` float64, seconds, in file order.
        counts: entries found and excluded.
        durations: `[V]` float64, seconds, NaN where the annotations state none; needed by the error analyses only.
        blocked: videos excluded here and from all predictions.
        options: its source and how it was filtered; part of every result.
    """

    videos: Sequence[str]
    classes: Sequence[str]
    video: Ints
    label: Ints
    segments: Floats
    counts: dict[str, int] = field(default_factory=dict)
    durations: Floats | None = None
    blocked: frozenset[str] = frozenset()
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _set(
            self,
            {"video": _ints(self.video), "label": _ints(self.label), "segments": _segments(self.segments)},
        )
        n = len(self.segments)
        _check_index("ground truth: video", self.video, n, 0, len(self.videos))
        _check_index("ground truth: label", self.label, n, 0, len(self.classes))
        if not n:
            raise TspError("the ground truth has no instance; choose another subset")
        empty = np.flatnonzero(np.bincount(self.label, minlength=len(self.classes)) == 0)
        if len(empty):
            raise TspError(f"ground truth: class {self.classes[int(empty[0])]!r} has no instance; leave it out")


@dataclass(frozen=True, kw_only=True)
class ScoredSegments:
    """Scored segments in file order.

    Args:
        video: `[M]` index into the ground truth's videos, -1 for a video that is not among them.
        label: `[M]` index into the ground truth's classes; all 0 for proposals.
        segments: `[M, 2]` float64, seconds.
        score: `[M]` float64, higher is better.
        counts: entries found and excluded.
    """

    video: Ints
    label: Ints
    segments: Floats
    score: Floats
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        score = np.asarray(self.score, dtype=np.float64).reshape(-1)
        _set(
            self,
            {
                "video": _ints(self.video),
                "label": _ints(self.label),
                "segments": _segments(self.segments),
                "score": score,
            },
        )
        n = len(self.segments)
        _check_index("predictions: video", self.video, n, UNKNOWN, None)
        _check_index("predictions: label", self.label, n, 0, None)
        if len(score) != n or not np.isfinite(score).all():
            raise TspError(f"predictions: {len(score)} scores for {n} segments; expected one finite score for each")


def read_ground_truth(
    path: str | Path, subset: str, *, blocked: Collection[str] = (), dedup: bool = False
) -> GroundTruth:
    """Read the instances of `subset` from an ActivityNet-style JSON (gzip accepted, numbers may be text).

    Args and Raises: as `instances_of`.
    """
    check_not_empty(path)
    return instances_of(read_annotations(path), subset, where=path, blocked=blocked, dedup=dedup)


def instances_of(
    everything: Sequence[Video],
    subset: str,
    *,
    where: str | Path,
    blocked: Collection[str] = (),
    dedup: bool = False,
    without_labels: Collection[str] = (),
) -> GroundTruth:
    """The counted instances of annotated videos.

    Args:
        everything: videos of all subsets.
        subset: exact name, such as `validation`.
        where: the file, for messages.
        blocked: videos to leave out.
        dedup: drop instances within 1 ms of an earlier one of the same label and video, or shorter than 1 ms.
        without_labels: labels that are no class, such as THUMOS14's `Ambiguous`.

    Raises:
        TspError: a time that is not finite, no such subset, or no instance in it.
    """
    chosen = [v for v in everything if v.subset == subset]
    if not chosen:
        names = ", ".join(sorted({v.subset for v in everything})) or "none"
        raise TspError(f"{where}: no video of subset {subset!r}; subsets in the file: {names}")
    counted = [v for v in chosen if v.name not in blocked]
    rows: list[Row] = []
    for number, video in enumerate(counted):
        kept = [s for s in video.segments if s.label not in without_labels]
        kept = _without_duplicates(kept) if dedup else kept
        rows += [(number, str(s.label), s.start_s, s.end_s) for s in kept]
    if not rows:
        raise TspError(f"{where}: subset {subset!r} has no instance; nothing can be measured")
    numbers = {label: k for k, label in enumerate(dict.fromkeys(label for _, label, _, _ in rows))}
    segments = np.asarray([(start, end) for *_, start, end in rows])
    if not np.isfinite(segments).all():
        number, label = rows[int(np.flatnonzero(~np.isfinite(segments).all(1))[0])][:2]
        raise TspError(f"{where}: {counted[number].name!r}: a segment of {label!r:.80} is not finite; expected seconds")
    return GroundTruth(
        videos=[v.name for v in counted],
        classes=list(numbers),
        video=_ints([row[0] for row in rows]),
        label=_ints([numbers[row[1]] for row in rows]),
        segments=segments,
        counts=_instance_counts(chosen, counted, rows),
        durations=np.asarray([_duration_s(v, where) for v in counted], dtype=np.float64),
        blocked=frozenset(blocked),
        options={"ground_truth": Path(where).name, "subset": subset, "dedup": dedup},
    )


def _duration_s(video: Video, where: str | Path) -> float:
    """Stated duration, or that by which the stated `coverage` of an instance follows; NaN: unknown."""
    if video.duration_s is not None:
        if not np.isfinite(video.duration_s):
            raise TspError(f"{where}: {video.name!r}: duration {video.duration_s}; expected seconds")
        return video.duration_s
    shares = video.extra.get(COVERAGE, [])
    if len(shares) != len(video.segments):
        return np.nan
    return next(
        ((s.end_s - s.start_s) / share for s, share in zip(video.segments, shares, strict=True) if share), np.nan
    )


def _instance_counts(chosen: Sequence[Video], counted: Sequence[Video], rows: Sequence[Row]) -> dict[str, int]:
    """Counts of `GroundTruth`: videos of the subset, those not blocked, and the rows kept of these."""
    return {
        "videos": len(counted),
        "videos_without_instances": len(counted) - len({row[0] for row in rows}),
        "videos_blocked": len(chosen) - len(counted),
        "instances": len(rows),
        "instances_dropped": sum(len(v.segments) for v in counted) - len(rows),
        "instances_duplicate": len(rows) - len(set(rows)),
        "instances_not_positive": sum(end <= start for *_, start, end in rows),
    }


def with_durations(truth: GroundTruth, metadata: str | Path) -> GroundTruth:
    """Take the videos' durations from a table with the columns `filename` and `video-duration` instead.

    Raises:
        TspError: a video with instances is not in the table.
    """
    from tsp.io.tables import read_table, require_numbers  # imported here: pandas is slow, and no score needs it

    table = read_table(metadata, DURATION_COLUMNS)
    require_numbers(table, DURATION_COLUMNS[1:], metadata)
    known = dict(zip(table["filename"].map(feature_key), table["video-duration"].astype(float), strict=True))
    durations = np.asarray(
        [next((known[key] for key in possible_keys(name) if key in known), np.nan) for name in truth.videos]
    )
    absent = np.flatnonzero(np.isnan(durations[truth.video]))
    if len(absent):
        raise TspError(f"{metadata}: no duration of video {truth.videos[int(truth.video[absent[0]])]!r}")
    return replace(truth, durations=durations, options=truth.options | {"durations": Path(metadata).name})


def read_detections(path: str | Path, truth: GroundTruth, *, ignore_unknown_labels: bool = False) -> ScoredSegments:
    """Read labelled predictions (gzip accepted) in file order.

    Args:
        path: JSON with `results`; other keys may be missing.
        truth: gives the numbers of videos and classes.
        ignore_unknown_labels: skip labels that the ground truth does not have, instead of raising.

    Raises:
        TspError: naming file, video and entry.
    """
    check_not_empty(path)
    label_of = labels_of(path, truth, ignore_unknown_labels=ignore_unknown_labels)
    return numbered(path, read_predictions(path), truth, label_of)


def read_proposals(path: str | Path, truth: GroundTruth) -> ScoredSegments:
    """Read proposals: as `read_detections`, any labels being ignored."""
    check_not_empty(path)
    return numbered(path, read_predictions(path), truth, lambda entry, video, place: 0)


def read_blocked(path: str | Path | None) -> frozenset[str]:
    """Read a JSON array of video names to leave out; None: no list."""
    names = [] if path is None else read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TspError(f"{path}: expected a JSON array of video names")
    return frozenset(names)


def labels_of(path: str | Path, truth: GroundTruth, *, ignore_unknown_labels: bool) -> LabelOf:
    """A function that maps an entry to its class number, or to None if it is skipped.

    Raises (the function): TspError naming an unknown label, unless those are ignored.
    """
    index = {label: number for number, label in enumerate(truth.classes)}

    def label_of(entry: dict[str, Any], video: str, place: int) -> int | None:
        label = entry.get("label")
        number = index.get(label) if isinstance(label, str) else None
        if number is None and not (ignore_unknown_labels and isinstance(label, str)):
            raise TspError(
                f"{path}: results[{video!r}][{place}]: label {label!r:.80} is not in the counted ground truth, which"
                f" has {len(index)} classes; check the spelling, or ignore unknown labels"
            )
        return number

    return label_of


def check_not_empty(path: str | Path) -> None:
    """Report an empty file as empty, instead of as a JSON syntax error."""
    if Path(path).is_file() and not Path(path).stat().st_size:
        raise TspError(f"{path}: the file is empty")


def numbered(
    path: str | Path,
    results: dict[str, list[dict[str, Any]]],
    truth: GroundTruth,
    label_of: LabelOf,
) -> ScoredSegments:
    """Entries as arrays, with counts of irregular ones.

    Args:
        path: their file, for messages.
        results: video -> entries with `score` and, of segments, `segment`.
        truth: gives the numbers of videos, and those to leave out.
        label_of: class number of an entry, or None to skip it.
    """
    index = {name: number for number, name in enumerate(truth.videos)}
    rows = array.array("d")
    skipped = dropped = 0
    for name, entries in results.items():
        if name in truth.blocked:
            dropped += len(entries)
            continue
        here = index.get(name, UNKNOWN)
        for number, entry in enumerate(entries):
            label = label_of(entry, name, number)
            if label is None:
                skipped += 1
                continue
            start, end = entry.get("segment", TIMELESS)
            rows.extend((here, label, float(start), float(end), float(entry["score"])))
    table = np.frombuffer(rows, dtype=np.float64).reshape(-1, 5)
    lengths = table[:, 3] - table[:, 2]
    unknown = table[:, 0] == UNKNOWN
    counts = {
        "predictions": len(table),
        "predictions_in_unknown_videos": int(unknown.sum()),
        "predictions_with_unknown_label": skipped,
        "predictions_in_blocked_videos": dropped,
        "predictions_not_positive": int((lengths <= 0).sum()),
        "videos_without_predictions": len(truth.videos) - sum(1 for name in index if results.get(name)),
    }
    if len(table) and unknown.all():
        example = next(name for name, entries in results.items() if entries)
        log.warning(
            "%s: no prediction is in a counted video (first: %r, ground truth: %r); names carry no %r here",
            *(path, example, truth.videos[0], ACTIVITYNET),
        )
    elif unknown.any():
        log.warning("%s: %d predictions are in videos that are not counted", path, unknown.sum())
    videos, labels = _ints(table[:, 0]), _ints(table[:, 1])
    return ScoredSegments(video=videos, label=labels, segments=table[:, 2:4], score=table[:, 4], counts=counts)


def _without_duplicates(segments: Sequence[Segment]) -> list[Segment]:
    kept: list[Segment] = []
    for s in segments:
        twice = any(
            s.label == k.label and abs(s.start_s - k.start_s) <= DUPLICATE_S and abs(s.end_s - k.end_s) <= DUPLICATE_S
            for k in kept
        )
        if not twice and s.end_s - s.start_s >= DUPLICATE_S:
            kept.append(s)
    return kept


def _set(target: object, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Replace fields of a frozen dataclass while it is being made."""
    for name, values in arrays.items():
        object.__setattr__(target, name, values)


def _ints(values: ArrayLike) -> Ints:
    return np.asarray(values, dtype=np.int64).reshape(-1)


def _segments(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(array).all():
        raise TspError("a segment is not finite; expected [N, 2] start and end in seconds")
    return array


def _check_index(name: str, values: Ints, n: int, low: int, end: int | None) -> None:
    if len(values) != n:
        raise TspError(f"{name}: {len(values)} numbers for {n} segments")
    if n and (values.min() < low or (end is not None and values.max() >= end)):
        raise TspError(
            f"{name}: {values.min()} to {values.max()}; expected {low} to {'any' if end is None else end - 1}"
        )
