"""Videos and segments. Seconds are float64, frames are integers."""

from dataclasses import dataclass, field
from typing import Any

from tsp.names import feature_key


@dataclass(frozen=True, kw_only=True)
class Segment:
    """An interval of a video.

    Args:
        start_s: first second.
        end_s: last second; equal to or before `start_s` in some official annotations, kept as published.
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
        subset: name of the subset in the annotation (`training`, `validation`, `testing`, ...).
        duration_s: length in the annotation, in seconds; None if it has none.
        segments: the actions, in annotation order.
        source: where the raw video comes from: a URL, a path or a video id; empty when unknown.
        extra: other fields of the annotation (captions, TSN frame counts).
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
