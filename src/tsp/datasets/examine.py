"""Doubtful annotations: segments outside the video, reversed or empty ones, wrong units, unknown labels and subsets."""

import difflib
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from tsp.datasets.config import Action, ExamineConfig
from tsp.datasets.ground_truth import ALIASES, DOUBTS, same_subset
from tsp.errors import TspError
from tsp.io.tables import read_metadata
from tsp.types import Segment, Video

log = logging.getLogger(__name__)
KEEP: Action = "keep"
STRICT: dict[str, Action] = {
    "units": "error",
    "reversed": "error",
    "zero_length": "drop",
    "outside": "drop",
    "duplicate": "drop",
    "overlap": "keep",
    "duration": "keep",
    "subset": "error",
    "label": "error",
}
FRAME_S = 1 / 30
SLACK_S, SLACK = 1.0, 0.02


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One doubt about the annotation of a video."""

    video: str
    finding: str
    """Name of a field of `ExamineConfig`; `emptied`: no segment of the video is left; `left_out`: an unused subset."""
    value: str
    """What was found."""
    action: str
    """`keep`, `drop` or `error`."""
    segment: int | None = None
    """Number of the segment in the annotation; None: the video."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is examined, and what follows.

    Args:
        actions: action of each kind of finding.
        strict: whether videos with doubts have no certain background.
        subsets: the annotations' names of the subsets in use.
        labels: known labels; empty: all are.
    """

    actions: Mapping[str, Action]
    strict: bool
    subsets: Collection[str]
    labels: Collection[str]

    def uses(self, subset: str) -> bool:
        """Whether videos of this subset of the annotations are used."""
        return any(same_subset(subset, one) for one in self.subsets)

    @classmethod
    def of(
        cls, options: Mapping[str, Action | None], rule: str, subsets: Collection[str], labels: Collection[str]
    ) -> "Policy":
        """The policy of a data set.

        Args:
            options: fields of `ExamineConfig`.
            rule: of the background.
            subsets, labels: as above.
        """
        strict = rule != "released"
        actions = {
            one.name: options[one.name] or (STRICT[one.name] if strict else "keep") for one in fields(ExamineConfig)
        }
        return cls(actions=actions, strict=strict, subsets=subsets, labels=frozenset(labels))


def examine(
    videos: Sequence[Video], policy: Policy, seconds: Mapping[str, float] | None = None
) -> tuple[list[Video], list[Finding]]:
    """Look at the annotations of each video.

    Args:
        videos: annotations.
        policy: what is examined, and what follows.
        seconds: durations of the standardised videos by file name; other videos are judged by their stated ones.

    Returns:
        The videos without the segments to drop, and without those videos of which no segment is left; and all findings,
        in the order of the videos. Under a strict policy `extra` of a video lists its doubts.
    """
    kept, findings = [], []
    for video in videos:
        found = _findings(video, policy, (seconds or {}).get(video.filename))
        dropped = {f.segment for f in found if f.action == "drop"}
        numbers = [] if None in dropped else [k for k in range(len(video.segments)) if k not in dropped]
        if len(numbers) < len(video.segments):
            if not numbers:
                found.append(Finding(video=video.name, finding="emptied", value="no segment is left", action="drop"))
            video = _with(video, numbers)
        findings += found
        doubts = sorted({*video.extra.get(DOUBTS, []), *(f.finding for f in found if f.finding != "overlap")})
        if doubts and policy.strict:
            video = replace(video, extra={**video.extra, DOUBTS: doubts})
        if not any(f.finding == "emptied" for f in found):
            kept.append(video)
    return kept, findings + _left_out(videos, policy, findings)


def _left_out(videos: Sequence[Video], policy: Policy, findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each subset of which no video is used."""
    misspelt = {f.video for f in findings if f.finding == "subset"}
    others = [v for v in videos if v.subset and v.name not in misspelt]
    counts = Counter(v.subset for v in others if not policy.uses(v.subset))
    return [
        Finding(video="", finding="left_out", value=f"{n} videos of subset {name!r}", action="keep")
        for name, n in counts.items()
    ]


def _with(video: Video, numbers: list[int]) -> Video:
    """A video with these of its segments."""
    extra = dict(video.extra)
    frames = extra.get("segment_frames")
    if frames is not None and len(frames) == len(video.segments):
        extra["segment_frames"] = [frames[k] for k in numbers]
    return replace(video, segments=tuple(video.segments[k] for k in numbers), extra=extra)


def _findings(video: Video, policy: Policy, real_s: float | None) -> list[Finding]:
    found: list[Finding] = []

    def add(kind: str, value: str, segment: int | None = None) -> None:
        action = policy.actions[kind]
        found.append(Finding(video=video.name, finding=kind, value=value, action=action, segment=segment))

    if video.subset and not policy.uses(video.subset):
        known = [*policy.subsets, *ALIASES, *ALIASES.values()]
        near = _near(video.subset, known)
        if near and video.subset.lower() not in known:
            add("subset", f"{video.subset!r}, close to {near!r}")
        return found
    stated_s = video.duration_s
    if stated_s is not None and real_s is not None and _differ(stated_s, real_s):
        add("duration", f"{stated_s:g} s stated, {real_s:g} s in the video")
    length_s = real_s if real_s is not None else stated_s
    if video.segments and length_s and (unit := _unit(video.segments, length_s)):
        last = max(s.end_s for s in video.segments)
        add("units", f"last end at {last:g} of {length_s:g} s: looks like {unit}")
        return found
    seen: dict[Any, int] = {}
    for number, segment in enumerate(video.segments):
        text = f"{segment.start_s:g} - {segment.end_s:g} s, {segment.label}"
        if policy.labels and segment.label not in policy.labels:
            near = _near(str(segment.label), policy.labels)
            add("label", f"{segment.label!r}" + (f", close to {near!r}" if near else ""), number)
        kind = _judged(segment, length_s)
        if kind is None and (segment.start_s, segment.end_s, segment.label) in seen:
            kind = "duplicate"
        if kind is not None:
            add(kind, text + (f"; the video has {length_s:g} s" if kind == "outside" else ""), number)
        seen.setdefault((segment.start_s, segment.end_s, segment.label), number)
    for one, other in _overlaps(seen):
        add("overlap", f"{one[0]:g} - {one[1]:g} s and {other[0]:g} - {other[1]:g} s, {one[2]}", seen[other])
    return found


def _judged(segment: Segment, length_s: float | None) -> str | None:
    if segment.end_s < segment.start_s:
        return "reversed"
    if segment.end_s - segment.start_s < FRAME_S:
        return "zero_length"
    behind = length_s is not None and (
        segment.start_s >= length_s or segment.end_s > length_s + max(SLACK_S, SLACK * length_s)
    )
    return "outside" if behind or segment.start_s < -SLACK_S or segment.end_s <= 0 else None


def _differ(stated_s: float, real_s: float) -> bool:
    return abs(stated_s - real_s) > max(SLACK_S, SLACK * real_s)


def _unit(segments: Sequence[Segment], length_s: float) -> str | None:
    """What times far after the end of the video look like: most of them, not one wrong segment."""
    ratio = max(s.end_s for s in segments) / length_s
    far = sum(s.end_s > 5 * length_s for s in segments)
    if ratio < 5 or far * 2 < len(segments):
        return None
    return "milliseconds" if ratio > 200 else "frames"


def _near(word: str, known: Collection[str]) -> str | None:
    """The known word that was probably meant."""
    plain = {one.strip().lower(): one for one in known}
    match = difflib.get_close_matches(word.strip().lower(), plain, n=1, cutoff=0.8)
    return plain[match[0]] if match else None


def _overlaps(segments: Collection[Any]) -> list[tuple[Any, Any]]:
    """All pairs of segments of one label that overlap, each in the order of their starts."""
    pairs: list[tuple[Any, Any]] = []
    open_: list[Any] = []
    for segment in sorted((s for s in segments if s[0] < s[1]), key=lambda s: (str(s[2]), s[0], s[1])):
        open_ = [one for one in open_ if one[2] == segment[2] and one[1] > segment[0]]
        pairs += [(one, segment) for one in open_]
        open_.append(segment)
    return pairs


def refuse(findings: Sequence[Finding], where: str) -> None:
    """Raise for findings whose action is `error`, and log what is dropped.

    Raises:
        TspError: with the first of them and the option that decides.
    """
    errors = [f for f in findings if f.action == "error"]
    if errors:
        named = "; ".join(f"{f.video}: {f.finding}: {f.value}" for f in errors[:5])
        counts = ", ".join(f"{n} {kind}" for kind, n in Counter(f.finding for f in errors).items())
        raise TspError(
            f"{where}: {len(errors)} doubtful annotations ({counts}): {named}. Correct them, or set"
            f" examine.{errors[0].finding} of the data set to drop or keep (docs/formats/annotations.md)"
        )
    if dropped := [f for f in findings if f.action == "drop"]:
        counts = ", ".join(f"{n} {kind}" for kind, n in Counter(f.finding for f in dropped).items())
        log.warning("%s: dropped: %s; see annotations_report.csv", where, counts)


def durations(metadata: Sequence[Path]) -> dict[str, float]:
    """Seconds of the standardised videos by file name."""
    return {
        str(name): float(seconds)
        for path in metadata
        for name, seconds in read_metadata(path)[["filename", "video-duration"]].itertuples(index=False, name=None)
    }
