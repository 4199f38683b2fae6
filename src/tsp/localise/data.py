"""Features and annotations of a subset, side by side."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.features.resample import resample_time
from tsp.io.annotations import read_annotations
from tsp.io.features import FeatureFile
from tsp.types import Video

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Videos of a subset that have features.

    Args:
        videos: `V` annotated videos.
        features: `[V, C, T]` float32, resampled in time.
    """

    videos: list[Video]
    features: NDArray[np.float32]


def read_subset(features: Path, annotations: Path, subset: str, length: int, *, align_corners: bool) -> Subset:
    """Read and resample the features of every annotated video of a subset.

    Raises:
        TspError: no video of the subset has features, or features differ in width.
    """
    videos = [v for v in read_annotations(annotations) if v.subset == subset]
    with FeatureFile(features) as file:
        found = [v for v in videos if v.key in file]
        rows = [file[v.key] for v in found]
        if not found:
            example = ", ".join(file.names[:2])
            raise TspError(
                f"{features}: no features of any {subset!r} video of {annotations}; keys look like {example}"
            )
    widths = {row.shape[1:] for row in rows}
    if len(widths) != 1 or any(row.ndim != 2 or not len(row) for row in rows):
        raise TspError(f"{features}: expected [n, C] with the same C for all videos; found {sorted(widths)}")
    if len(found) < len(videos):
        log.warning(
            "%d of %d %s videos have no features and are left out", len(videos) - len(found), len(videos), subset
        )
    data = np.stack([resample_time(row, length, align_corners=align_corners).T for row in rows])
    return Subset(videos=found, features=np.ascontiguousarray(data))


def normalised_segments(video: Video, time_base: str) -> NDArray[np.float64]:
    """Annotated segments in units of the video's length, clamped to 0 ... 1.

    Args:
        video: with a stated duration.
        time_base: `feature_frames`: the seconds covered by the 16-frame snippets of the annotation's own features
            (released code), where it states them; `duration`: the video's length.

    Returns:
        `[N, 2]`.
    """
    length = duration_s(video)
    extra: dict[str, Any] = video.extra
    if time_base == "feature_frames" and extra.get("feature_frame") and extra.get("duration_frame"):
        length = extra["feature_frame"] / extra["duration_frame"] * length
    times = np.array([(s.start_s, s.end_s) for s in video.segments], dtype=np.float64).reshape(-1, 2)
    return np.clip(times / length, 0.0, 1.0)


def duration_s(video: Video) -> float:
    """Seconds of a video.

    Raises:
        TspError: the annotation states none.
    """
    if not video.duration_s or video.duration_s <= 0:
        raise TspError(f"video {video.name!r}: the annotation states no duration")
    return video.duration_s
