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
from tsp.localise.windows import Window, Windows, cut, frame_facts, snippets, window_starts
from tsp.types import Video

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Videos of a subset that have features; R rows: one per video, or one per window of a video, in order.

    Args:
        videos: `R` annotated videos.
        features: `[R, C, T]` float32, resampled in time.
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
    """Read and resample the features of every annotated video of a subset; all are held in memory.

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
    rows: list[NDArray[np.float32]] = []
    places: list[tuple[Video, Window | None]] = []
    with FeatureFile(features) as file:
        found = [v for v in videos if v.key in file]
        if not found:
            raise TspError(
                f"{features}: no features of any of the {len(videos)} {subset!r} videos of {annotations}; "
                f"keys look like {', '.join(file.names[:2])}"
            )
        for video in found:
            row = _checked(file, video.key, rows[0].shape[1] if rows else None)
            if windows is None:
                rows.append(resample_time(row, length, align_corners=align_corners).T[None])
                places.append((video, None))
                continue
            fps, frames = frame_facts(video, len(row), file.attributes, windows)
            at_steps = snippets(row, frames, windows, align_corners=align_corners)
            starts = window_starts(len(at_steps), length, windows)
            rows.append(cut(at_steps, starts, length))
            places += [(video, Window(first=int(first), fps=fps, frames=frames)) for first in starts]
    if len(found) < len(videos):
        missing = len(videos) - len(found)
        log.warning("%d of %d %s videos have no features and are left out", missing, len(videos), subset)
    cut_up = tuple(window for _, window in places if window is not None)
    return Subset(videos=[video for video, _ in places], features=np.concatenate(rows), windows=cut_up)


def _checked(file: FeatureFile, key: str, width: int | None) -> NDArray[np.float32]:
    """Features `[n, C]` of a video, of the width of the videos before it."""
    row = file[key]
    if row.ndim != 2 or not row.size or width not in (None, row.shape[1]):
        expected = f"[n, {width or 'C'}]"
        raise TspError(f"{file.path}: features of {key!r} have shape {row.shape}, expected {expected}")
    return row


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
