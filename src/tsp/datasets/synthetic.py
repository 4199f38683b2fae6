"""The miniature data set: its options, videos, actions and captions (docs/miniature.md)."""

import zlib
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tsp.datasets.scenes import KINDS, Kind, timeline
from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.names import ACTIVITYNET, file_name
from tsp.types import Segment, Video

# Unusual names, as a real collection may have them.
ODD_NAMES = ("-dash", "with space", 'quote\'s "two"', "ünïcode")
VARIABLE = Fraction(0)


@dataclass(frozen=True, kw_only=True)
class Format:
    """Container and codecs of a file; `fps` 0 means a variable frame rate."""

    suffix: str
    video: str
    audio: str
    fps: Fraction


FORMATS = (
    Format(suffix=".mp4", video="libx264", audio="aac", fps=Fraction(30)),
    Format(suffix=".mkv", video="libx264", audio="aac", fps=Fraction(25)),
    Format(suffix=".webm", video="libvpx", audio="libopus", fps=Fraction(24000, 1001)),
    Format(suffix=".avi", video="mpeg4", audio="libmp3lame", fps=Fraction(30)),
    Format(suffix=".mov", video="libx264", audio="aac", fps=Fraction(25)),
    Format(suffix=".mp4", video="libx264", audio="aac", fps=VARIABLE),
)


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """Options of the generated data set."""

    kind: Literal["untrimmed", "trimmed"] = "untrimmed"
    """Untrimmed videos with several actions, or trimmed clips of one action, as in Kinetics."""
    n_train: int = 48
    """Number of training videos."""
    n_valid: int = 24
    """Number of validation videos."""
    seconds: tuple[float, float] = (20.0, 36.0)
    """Length of a video in seconds, minimum and maximum."""
    seed: int = 0
    """Seed of all random draws."""
    faults: bool = True
    """Add one video that is listed but missing, and one whose file is not a video."""

    def __post_init__(self) -> None:
        """Reject empty subsets and videos without actions."""
        if self.n_train < len(KINDS) or self.n_valid < len(KINDS):
            raise TspError(f"generate: n_train and n_valid must be at least {len(KINDS)}, one video per class")
        shortest = 13.0 if self.kind == "untrimmed" else 0.1  # latest start, longest action and the background after it
        if not shortest <= self.seconds[0] <= self.seconds[1]:
            raise TspError(
                f"generate: seconds is {list(self.seconds)}; expected shortest and longest, at least {shortest:g}"
            )


def read(paths: list[Path]) -> list[Video]:
    """Read the annotations that `render` wrote."""
    return [video for path in paths for video in read_annotations(path)]


def plan(config: SyntheticConfig, folder: Path) -> list[Video]:
    """Names, actions and captions of all videos with a valid file."""
    rng = np.random.default_rng([config.seed, zlib.crc32(config.kind.encode())])
    videos = []
    for subset, n in (("training", config.n_train), ("validation", config.n_valid)):
        for i in range(n):
            kind = KINDS[i % len(KINDS)]
            seconds = round(float(rng.uniform(*config.seconds)), 2)
            spans = [(0.0, seconds)] if config.kind == "trimmed" else timeline(seconds, rng)
            odd = config.kind == "untrimmed" and subset == "training" and i < len(ODD_NAMES)
            name = ODD_NAMES[i] if odd else f"{config.kind}_{subset}_{i:03d}"
            videos.append(_video(name, subset, seconds, kind, spans, folder / f"{name}{format_of(i, config).suffix}"))
    return videos


def _video(name: str, subset: str, seconds: float, kind: Kind, spans: list[tuple[float, float]], path: Path) -> Video:
    return Video(
        name=name,
        filename=file_name(name, ACTIVITYNET),
        subset=subset,
        duration_s=seconds,
        segments=tuple(Segment(start_s=a, end_s=b, label=kind.label) for a, b in spans),
        source=str(path),
        extra={"captions": _captions(kind, seconds, spans)},
    )


def _captions(kind: Kind, seconds: float, spans: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """Captions from the first to the last second; they cover the background too, as in ActivityNet Captions."""
    edges = [0.0, *(t for span in spans for t in span), seconds]
    events = []
    for number, (start, end) in enumerate(pairwise(edges)):
        does = f"does a {kind.label}" if number % 2 else "drifts"
        if end > start:
            sentence = f"A {kind.colour} {kind.shape} {does} in front of {kind.texture}."
            events.append({"segment": [start, end], "sentence": sentence})
    return events


def format_of(number: int, config: SyntheticConfig) -> Format:
    return FORMATS[0] if config.kind == "trimmed" else FORMATS[(number // len(KINDS)) % len(FORMATS)]
