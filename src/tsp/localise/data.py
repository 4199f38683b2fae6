"""Features and annotations of a subset, read together."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tsp.errors import TspError
from tsp.features.resample import resample_time
from tsp.io.annotations import read_annotations
from tsp.io.features import FeatureFile
from tsp.localise.windows import Window, Windows, cut, frame_facts, snippet_count, snippets, window_starts
from tsp.types import Video

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Videos of a subset that have features; R rows: one per video, or one per window of a video, in order.

    Args:
        videos: `R` annotated videos.
        features: `[R, C, T]` float32, resampled in time; in memory `[R, T, C]`.
        windows: `R` windows; empty where a row is a whole video.
    """

    videos: list[Video]
    features: NDArray[np.float32]
    windows: tuple[Window, ...] = ()


class Rows(Dataset[dict[str, Tensor]]):
    """Tensors with one row per video, all in memory; a batch is one indexing.

    Args:
        rows: name -> `[V, ...]`, all of the same V.
    """

    def __init__(self, rows: dict[str, Tensor]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: rows[index] for name, rows in self.rows.items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """The batch of some videos; PyTorch's loader calls it if it is defined."""
        return {name: rows[indices] for name, rows in self.rows.items()}

    def collate(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch as it is: `__getitems__` has joined its items."""
        return batch


def read_subset(
    features: Path,
    annotations: Path,
    subset: str,
    length: int,
    *,
    align_corners: bool,
    windows: Windows | None = None,
) -> Subset:
    """Read and resample the features of every annotated video of a subset; all are held in memory, once.

    Args:
        features: feature file; keys are the stems of the videos' file names.
        annotations: canonical annotations.
        subset: the annotations' own name of it.
        length: T.
        align_corners: see `resample_time`.
        windows: cut videos into windows of T snippets; None: a whole video becomes T snippets.

    Raises:
        TspError: no video of the subset has features, or features of different width.
    """
    videos = [v for v in read_annotations(annotations) if v.subset == subset]
    with FeatureFile(features) as file:
        found = [v for v in videos if v.key in file]
        if not found:
            raise TspError(
                f"{features}: no features of any of the {len(videos)} {subset!r} videos of {annotations}; "
                f"keys look like {', '.join(file.names[:2])}"
            )
        width = _width(file, found)
        cuts = [_windows_of(video, file, length, windows) for video in found]
        # Joining arrays of single videos would hold everything twice.
        rows = np.empty((sum(map(len, cuts)), length, width), dtype=np.float32)
        at = 0
        for video, pieces in zip(found, cuts, strict=True):
            rows[at : at + len(pieces)] = _rows_of(file[video.key], pieces, length, windows, align_corners)
            at += len(pieces)
    if len(found) < len(videos):
        missing = len(videos) - len(found)
        log.warning("%d of %d %s videos have no features and are left out", missing, len(videos), subset)
    return Subset(
        videos=[video for video, pieces in zip(found, cuts, strict=True) for _ in pieces],
        features=rows.transpose(0, 2, 1),
        windows=() if windows is None else tuple(window for pieces in cuts for window in pieces),
    )


def _windows_of(video: Video, file: FeatureFile, length: int, windows: Windows | None) -> list[Window]:
    """The windows of a video; one that stands for the whole video if it is not cut."""
    if windows is None:
        return [Window(first=0, fps=0.0, frames=0)]
    fps, frames = frame_facts(video, file.shape(video.key)[0], file.attributes, windows)
    starts = window_starts(snippet_count(frames, windows), length, windows)
    return [Window(first=int(first), fps=fps, frames=frames) for first in starts]


def _rows_of(
    features: NDArray[np.float32], pieces: list[Window], length: int, windows: Windows | None, align_corners: bool
) -> NDArray[np.float32]:
    """`[W, T, C]` from the features `[n, C]` of a video with W windows, or of a whole video."""
    if windows is None:
        return resample_time(features, length, align_corners=align_corners)[None]
    at_steps = snippets(features, pieces[0].frames, windows, align_corners=align_corners)
    return cut(at_steps, np.array([window.first for window in pieces]), length).transpose(0, 2, 1)


def _width(file: FeatureFile, videos: list[Video]) -> int:
    """C of the features `[n, C]` of all videos."""
    width: int | str = "C"
    for video in videos:
        shape = file.shape(video.key)
        if len(shape) != 2 or 0 in shape or width not in ("C", shape[1]):
            raise TspError(f"{file.path}: features of {video.key!r} have shape {shape}, expected [n, {width}]")
        width = shape[1]
    return int(width)


def normalised_segments(video: Video, time_base: str) -> NDArray[np.float64]:
    """Annotated segments in units of the video's length, clamped to 0 ... 1.

    Args:
        video: with a stated duration.
        time_base: `duration`: the video's length; `feature_frames`: the seconds covered by the 16-frame snippets of the
            annotation's own features (released code), if it states them.

    Returns:
        `[N, 2]`.
    """
    length = duration_s(video)
    if time_base == "feature_frames" and has_feature_frames(video):
        length = video.extra["feature_frame"] / video.extra["duration_frame"] * length
    times = np.array([(s.start_s, s.end_s) for s in video.segments], dtype=np.float64).reshape(-1, 2)
    return np.clip(times / length, 0.0, 1.0)


def has_feature_frames(video: Video) -> bool:
    """Whether the annotation states the number of frames that its own features cover."""
    extra: dict[str, Any] = video.extra
    return bool(extra.get("feature_frame") and extra.get("duration_frame"))


def duration_s(video: Video) -> float:
    """Seconds of a video.

    Raises:
        TspError: the annotation states none.
    """
    if not video.duration_s or video.duration_s <= 0:
        raise TspError(f"video {video.name!r}: the annotation states no duration")
    return video.duration_s


def snippet_duration_s(video: Video) -> float:
    """Seconds covered by whole 16-frame snippets of the annotation's frames; all seconds if it states no frames."""
    frames = video.extra.get("duration_frame")
    return math.floor(frames / 16) * 16 / frames * duration_s(video) if frames else duration_s(video)
