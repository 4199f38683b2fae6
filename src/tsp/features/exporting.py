"""What the exports to other projects share: their inputs, the timing of features, arrays and the README of a folder.

T features of a video, C channels.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.io.features import TIME_ATTRIBUTES, FeatureFile
from tsp.io.files import atomic
from tsp.progress import progress
from tsp.types import Video

log = logging.getLogger(__name__)
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Conversion of the index of a feature into seconds."""

    stride: int
    """Frames between the starts of consecutive clips."""
    fps: float
    """Rate of these frames, in frames per second."""
    clip_length: int
    """Frames of a clip."""

    def frames(self, clips: int) -> int:
        """Frames from the start of the first of `clips` clips to the end of the last."""
        return (clips - 1) * self.stride + self.clip_length


class Features(Mapping[str, Array]):
    """The features of several open files, by the key of the video.

    Args:
        files: of different videos.

    Raises:
        TspError: a video in two files.
    """

    def __init__(self, files: Iterable[FeatureFile]) -> None:
        self._file_of: dict[str, FeatureFile] = {}
        for file in files:
            for key in file.names:
                if key in self._file_of:
                    raise TspError(f"{file.path}: {key!r} is also in {self._file_of[key].path}")
                self._file_of[key] = file

    def __getitem__(self, key: str) -> Array:
        return self._file_of[key][key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)

    @property
    def channels(self) -> int:
        """C of the first video; 0 without videos."""
        return next((int(array.shape[-1]) for array in self.values()), 0)


@dataclass(frozen=True, kw_only=True)
class Export:
    """One export.

    Args:
        features: by the key of the video.
        output: folder to write into.
        time: of the features.
        videos: annotated videos; none if no annotations are given.
        class_scores: file with class scores of whole videos, if given.
        length: steps of layouts with a fixed number of them.
    """

    features: Features
    output: Path
    time: Timing
    videos: list[Video]
    class_scores: Path | None
    length: int

    @property
    def folder(self) -> str:
        """The folder as the receiver's configuration names it."""
        return str(self.output.resolve())

    def write_arrays(self) -> dict[str, int]:
        """Write `<key>.npy` `[T, C]` of every video that has features; returns T by key."""
        clips = {}
        for key, array in progress(self.features.items(), desc="export", unit="video"):
            if not len(array):
                log.warning("%s has no features and is left out", key)
                continue
            save(self.output / f"{key}.npy", array)
            clips[key] = len(array)
        return clips

    def write_readme(self, title: str, text: str) -> None:
        """Write README.md: what the folder holds, and the receiver's lines."""
        time = self.time
        facts = (
            f"Features of {len(self.features)} videos, {self.features.channels} channels: clips of {time.clip_length}"
            f" frames every {time.stride} frames at {time.fps:g} frames per second. Written by `tsp export`."
        )
        write_text(self.output / "README.md", f"# {title}\n\n{facts}\n\n{text.strip()}\n")


def timing_of(files: list[FeatureFile], given: Timing | None) -> Timing:
    """The timing that all files state; of files that state none, the given one.

    Raises:
        TspError: neither in the file nor given, or different ones.
    """
    found = [_timing(file, given) for file in files]
    for file, time in zip(files, found, strict=True):
        if time != found[0]:
            raise TspError(f"{file.path}: states {time}, but {files[0].path} {found[0]}; export them one by one")
    return found[0]


def _timing(file: FeatureFile, given: Timing | None) -> Timing:
    stated = file.attributes
    if all(key in stated for key in TIME_ATTRIBUTES):
        found = Timing(stride=int(stated["stride"]), fps=float(stated["fps"]), clip_length=int(stated["clip_length"]))
        if given is not None and given != found:
            raise TspError(f"{file.path}: states {found}, but {given} is requested; omit the options")
        return found
    if given is None:
        raise TspError(
            f"{file.path}: states no stride, rate and clip length; pass --stride, --fps and --clip-length"
            " (released ActivityNet features: 16, 15, 16; THUMOS14: 1, 15, 16)"
        )
    return given


def save(path: Path, array: Array) -> None:
    """Write one array as `.npy`."""
    with atomic(path) as temporary, temporary.open("wb") as target:
        np.save(target, array)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
