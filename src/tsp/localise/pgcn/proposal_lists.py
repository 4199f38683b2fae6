"""Proposal lists: per video its instances and its labelled proposals, in the text format that SSN introduced.

n proposals and M instances of a video. Times are whole frames of the video; labels count from 1 in the alphabetical
order of the class names, 0 is background. docs/formats/proposals.md describes the file.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.files import atomic, read_text
from tsp.io.predictions import read_predictions
from tsp.io.tables import read_metadata
from tsp.localise.data import duration_s
from tsp.localise.nms import Scored
from tsp.names import feature_key
from tsp.segments import tiou
from tsp.types import Video

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Rate of the standardised videos, for annotations whose videos are not available.
FPS = 30.0


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A video of a list.

    Args:
        name: last component of the path in the list.
        n_frames: N.
        fps: frames per second; None where the list states a frame count only.
        instance_labels: `[M]`, from 1.
        instances: `[M, 2]` start and end frame.
        labels: `[n]` class of the instance of largest tIoU; 0 where nothing overlaps.
        best_iou: `[n]` largest tIoU with an instance.
        overlap_self: `[n]` share of the proposal that lies in that same instance.
        segments: `[n, 2]` start and end frame.
        coverage: `[n]` length in units of N, before the end was clipped to the video.
    """

    name: str
    n_frames: int
    fps: float | None
    instance_labels: Ints
    instances: Ints
    labels: Ints
    best_iou: Floats
    overlap_self: Floats
    segments: Ints
    coverage: Floats

    def duration_s(self, video: Video, fps: float | None = None) -> float:
        """Seconds of the video: by the list's own rate, `fps`, or the annotation, whichever is stated first."""
        rate = self.fps or fps
        return self.n_frames / rate if rate else duration_s(video)


def class_names(videos: Iterable[Video]) -> list[str]:
    """Names of all annotated classes; the label of a class is 1 + its place."""
    return sorted({s.label for video in videos for s in video.segments if s.label is not None})


def describe(segments: ArrayLike, instances: ArrayLike, labels: ArrayLike) -> tuple[Ints, Floats, Floats]:
    """Label, best tIoU and overlap of proposals, the columns of a list.

    Args:
        segments: `[n, 2]` any unit.
        instances: `[M, 2]` same unit.
        labels: `[M]` from 1.

    Returns:
        `[n]` labels, `[n]` best tIoU, `[n]` share of the proposal inside that instance; all 0 without overlap.

    Differs: the original description takes the largest share over all instances; the published lists that of the best.
    """
    own, truth = (np.asarray(x, np.float64).reshape(-1, 2) for x in (segments, instances))
    if not len(truth):
        return np.zeros(len(own), np.int64), np.zeros(len(own)), np.zeros(len(own))
    overlaps = tiou(own, truth)
    best = overlaps.argmax(1)
    found = overlaps[np.arange(len(own)), best]
    inside = np.minimum(own[:, 1], truth[best, 1]) - np.maximum(own[:, 0], truth[best, 0])
    share = np.maximum(inside, 0.0) / np.maximum(own[:, 1] - own[:, 0], np.finfo(np.float64).tiny)
    chosen = np.where(found > 0, np.asarray(labels, np.int64).reshape(-1)[best], 0)
    return chosen, found, np.where(found > 0, share, 0.0)


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Frames and rate of videos: measured, by the stem of the file name or by the video's name; otherwise annotated.

    An annotation states `frames` and `frame_rate`, or seconds, which count at 30 frames per second.
    """

    by_key: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    by_name: Mapping[str, tuple[int, float]] = field(default_factory=dict)

    @staticmethod
    def read(metadata: Path | None, facts: Mapping[str, tuple[int, float]] | None = None) -> "Clock":
        """From the metadata of a subset; without metadata from `facts`, by name."""
        if metadata is None:
            return Clock(by_name=facts or {})
        rows = read_metadata(metadata)[["filename", "video-frames", "fps"]].itertuples(index=False)
        by_key = {feature_key(str(name)): (int(frames), float(fps)) for name, frames, fps in rows}
        return Clock(by_key=by_key, by_name=facts or {})

    def of(self, video: Video) -> tuple[int, float]:
        """(frames, frames per second) of a video.

        Raises:
            TspError: neither measured nor annotated.
        """
        measured = self.by_key.get(video.key) or self.by_name.get(video.name)
        if measured:
            return measured
        if video.extra.get("frames") and video.extra.get("frame_rate"):
            return int(video.extra["frames"]), float(video.extra["frame_rate"])
        return round(duration_s(video) * FPS), FPS


def make_list(
    videos: Sequence[Video], found: Mapping[str, Scored], clock: Clock, classes: Sequence[str], keep: int | None
) -> list[Listed]:
    """Describe the proposals of a localiser.

    Args:
        videos: annotated videos; those without proposals are skipped and counted.
        found: video name -> segments `[n, 2]` in seconds and scores `[n]`.
        clock: frames of the videos.
        classes: names in label order.
        keep: proposals of a video, best first; None: all.
    """
    label = {name: 1 + k for k, name in enumerate(classes)}
    made, dropped = [], 0
    for video in videos:
        if video.name not in found:
            continue
        n_frames, fps = clock.of(video)
        segments, scores = found[video.name]
        best = np.asarray(segments, np.float64).reshape(-1, 2)[np.argsort(-np.asarray(scores), kind="stable")[:keep]]
        truth = np.array([(s.start_s, s.end_s) for s in video.segments if s.label is not None]).reshape(-1, 2)
        labels = np.array([label[s.label] for s in video.segments if s.label is not None], np.int64)
        # A small margin: 123 frames at 30 fps, 4.1 s, would become 122.
        frames, instances = (np.maximum((t * fps + 1e-6).astype(np.int64), 0) for t in (best, truth))
        frames[:, 1] = np.minimum(frames[:, 1], n_frames)
        kept = frames[:, 1] > frames[:, 0]
        dropped += int((~kept).sum())
        made.append(_listed(video.name, n_frames, fps, labels, instances, frames[kept]))
    log.info(
        "%d proposals of %d videos; %d of less than a frame are skipped, %d videos have none",
        sum(len(v.segments) for v in made), len(made), dropped, len(videos) - len(made),
    )  # fmt: skip
    return made


def _listed(name: str, n_frames: int, fps: float, labels: Ints, instances: Ints, segments: Ints) -> Listed:
    label, best, overlap = describe(segments, instances, labels)
    coverage = (segments[:, 1] - segments[:, 0]) / n_frames
    return Listed(
        name=name, n_frames=n_frames, fps=fps, instance_labels=labels, instances=instances, labels=label,
        best_iou=best, overlap_self=overlap, segments=segments, coverage=coverage,
    )  # fmt: skip


def write_list(path: str | Path, videos: Iterable[Listed]) -> None:
    """Write a list; its third line is the rate, or 1 if unknown, as in the published lists."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for number, video in enumerate(videos):
            lines = [f"# {number}", video.name, *_length(video), str(len(video.instances))]
            rows = zip(video.instance_labels.tolist(), video.instances.tolist(), strict=True)
            lines += [f"{label} {start} {end}" for label, (start, end) in rows]
            lines.append(str(len(video.segments)))
            columns = (video.labels, video.best_iou, video.overlap_self, video.segments)
            lines += [
                f"{label} {_share(best)} {_share(overlap)} {start} {end}"
                for label, best, overlap, (start, end) in zip(*(c.tolist() for c in columns), strict=True)
            ]
            file.write("\n".join(lines) + "\n")


def _share(value: float) -> str:
    return f"{value:.4f}" if value else "0"


def _length(video: Listed) -> tuple[str, str]:
    """Duration and rate whose product, truncated by the readers, is the number of frames."""
    if video.fps is None:
        return str(video.n_frames), "1"
    duration = video.n_frames / video.fps
    while int(duration * video.fps) < video.n_frames:
        duration = float(np.nextafter(duration, np.inf))
    return repr(duration), repr(video.fps)


def from_predictions(path: Path) -> dict[str, Scored]:
    """Proposals, or detections without their classes, of a file in ActivityNet's format; repeated segments once."""
    return {name: _distinct(entries) for name, entries in read_predictions(path).items()}


def _distinct(entries: list[dict[str, Any]]) -> Scored:
    best: dict[tuple[float, float], float] = {}
    for entry in sorted(entries, key=lambda e: -float(e["score"])):
        start, end = entry["segment"]
        best.setdefault((float(start), float(end)), float(entry["score"]))
    return np.array(list(best), np.float64).reshape(-1, 2), np.array(list(best.values()), np.float64)


def write_proposals(
    found: dict[str, Scored],
    *,
    annotations: Path,
    subset: str,
    metadata: Path | None,
    keep: int | None,
    output: Path,
    facts: Mapping[str, tuple[int, float]] | None = None,
) -> None:
    """Compare proposals with the annotations and write them as a list.

    Args:
        found: video name -> segments in seconds and scores.
        annotations: canonical annotations; labels are places in the alphabetical order of their classes.
        subset: the annotations' own name of it.
        metadata: frames and rate of its videos; None: see `Clock`.
        keep: proposals of a video, best first; None: all.
        output: text file.
        facts: frames and rate by video name, of videos without metadata.

    Raises:
        TspError: no video of the subset has proposals.
    """
    videos = read_annotations(annotations)
    own = [v for v in videos if v.subset == subset]
    made = make_list(own, found, Clock.read(metadata, facts), class_names(videos), keep)
    if not made:
        raise TspError(f"{annotations}: none of the {len(own)} {subset!r} videos has proposals")
    write_list(output, made)


def read_list(path: str | Path, *, normalised: bool = False, frames: Mapping[str, int] | None = None) -> list[Listed]:
    """Read a list, ours or a published one; blank lines are skipped, integers may be written as floats.

    Instances and proposals without length or after the last frame are dropped and counted; ends are clipped to it.

    Args:
        path: the text file, gzip accepted.
        normalised: its times are in units of the video's length.
        frames: numbers of frames by name, for the videos of a normalised list that states none (1).

    Raises:
        TspError: shares without a number of frames, or without `normalised`; else naming
    """
    blocks: list[list[str]] = []
    for line in map(str.strip, read_text(path).splitlines()):
        if line.startswith("#") or not blocks:
            blocks.append([])
        if line and not line.startswith("#"):
            blocks[-1].append(line)
    blocks = [block for block in blocks if block]
    lengths = (frames or {}) if normalised else None
    read = [_read_block(block, f"{path}: block {n}", lengths) for n, block in enumerate(blocks)]
    if not read:
        raise TspError(f"{path}: no video; expected blocks that start with a line '#'")
    dropped = [sum(counts) for counts in zip(*(counts for _, counts in read), strict=True)]
    if any(dropped):
        log.info("%s: %d instances and %d proposals outside the video or empty are dropped", path, *dropped)
    return [video for video, _ in read]


def _read_block(lines: list[str], where: str, lengths: Mapping[str, int] | None) -> tuple[Listed, tuple[int, int]]:
    try:
        name, duration, fps = lines[0].rstrip("/").rpartition("/")[2], float(lines[1]), float(lines[2])
        n_frames, m = int(duration * fps), int(float(lines[3]))
        n = int(float(lines[4 + m]))
        truth = _table(lines[4 : 4 + m], 3)
        rows = _table(lines[5 + m : 5 + m + n], 5)
        if len(truth) != m or len(rows) != n or n_frames < 1:
            raise ValueError(f"{m} instances and {n} proposals expected, {len(truth)} and {len(rows)} found")
    except (IndexError, ValueError) as error:
        raise TspError(
            f"{where}: expected path, duration, fps, number of instances, 'label start end' each, number of proposals,"
            f" 'label best_iou overlap_self start end' each ({error})"
        ) from error
    scale = 1
    times = np.concatenate([truth[:, 1:], rows[:, 3:]])
    if lengths is not None:
        n_frames = scale = n_frames if n_frames > 1 else lengths.get(name, 0)
        if scale < 1:
            raise TspError(
                f"{where} ({name}): neither the list nor the annotations state its number of frames, of which the times"
                " are shares; state it as the block's second line, or a duration in the annotations"
            )
    elif times.size and times.max() <= 1 and (times % 1).any():
        raise TspError(f"{where} ({name}): its times are shares of the video, not frames; set normalised_lists: true")
    kept_truth, instances, _ = _clip(truth[:, 1:] * scale, n_frames)
    kept, segments, coverage = _clip(rows[:, 3:] * scale, n_frames)
    truth, rows = truth[kept_truth], rows[kept]
    if (rows[rows[:, 1] > 0, 0] < 1).any() or (truth[:, 0] < 1).any():
        raise TspError(f"{where} ({name}): an instance, or a proposal that overlaps one, has no class (label below 1)")
    video = Listed(
        name=name,
        n_frames=n_frames,
        fps=None if fps == 1 else fps,
        instance_labels=truth[:, 0].astype(np.int64),
        instances=instances,
        labels=rows[:, 0].astype(np.int64),
        best_iou=rows[:, 1],
        overlap_self=rows[:, 2],
        segments=segments,
        coverage=coverage,
    )
    return video, (int((~kept_truth).sum()), int((~kept).sum()))


def _table(lines: list[str], columns: int) -> Floats:
    return np.array([line.split() for line in lines], np.float64).reshape(len(lines), columns)


def _clip(times: Floats, n_frames: int) -> tuple[NDArray[np.bool_], Ints, Floats]:
    """Mask of the kept rows, their frames, and the coverage of their unclipped extent."""
    frames = times.astype(np.int64)
    kept = (frames[:, 1] > frames[:, 0]) & (frames[:, 0] < n_frames)
    coverage = (frames[kept, 1] - frames[kept, 0]) / n_frames
    return kept, np.clip(frames[kept], 0, n_frames), coverage
