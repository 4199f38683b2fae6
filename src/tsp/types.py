"""The nouns of temporal localisation. Seconds are float64, frames are integers."""

from dataclasses import dataclass, field
from typing import Any

from tsp.names import feature_key


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of a video.

    Args:
        start_s: first second.
        end_s: last second; equal to or before `start_s` in some official annotations, kept as found.
        label: action name, or None for background.
    """

    start_s: float
    end_s: float
    label: str | None


@dataclass(frozen=True, kw_only=True)
class Video:
    """An annotated untrimmed video.

    Args:
        name: the identity of the video (`tsp.names`).
        filename: name of the standardised file, from `names.file_name`.
        subset: the annotation's own name of the subset (`training`, `validation`, `testing`, ...).
        duration_s: length stated by the annotation; None where it states none.
        segments: the actions, in annotation order.
        source: where the raw video comes from: a URL, a path or a video id; empty when unknown.
        extra: whatever else the annotation says (captions, TSN frame counts).
    """

    name: str
    filename: str
    subset: str
    duration_s: float | None
    segments: tuple[Segment, ...]
    source: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Key of this video in every feature file."""
        return feature_key(self.filename)


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A scored, labelled stretch of a video (a proposal has no label)."""

    video: str
    start_s: float
    end_s: float
    score: float
    label: str | None
