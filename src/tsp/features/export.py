"""Export of feature files to the layouts of other projects (docs/formats/exports.md), one function per layout.

T features of a video, C channels.
"""

import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.features.resample import resample_time
from tsp.io.annotations import read_annotations
from tsp.io.features import TIME_ATTRIBUTES, FeatureFile
from tsp.io.files import atomic, write_json
from tsp.progress import progress
from tsp.types import Video

log = logging.getLogger(__name__)
Array = NDArray[np.float32]
BMN_LENGTH = 100


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Conversion of the index of a feature into seconds."""

    stride: int
    """Frames between the starts of consecutive clips."""
    fps: float
    """Rate of these frames, in frames per second."""
    clip_length: int
    """Frames of a clip."""


def export(
    layout: str,
    features: Path,
    output: Path,
    *,
    annotations: Path | None = None,
    timing: Timing | None = None,
    length: int = BMN_LENGTH,
) -> None:
    """Write a feature file in the layout of another project.

    Args:
        layout: one of `LAYOUTS`.
        features: feature file of the pipeline or one released with the paper.
        output: folder to write into.
        annotations: canonical annotations, for layouts with an annotation file.
        timing: for files without timing attributes (the released ones); it must agree with existing attributes.
        length: number of steps of layouts with a fixed one.

    Raises:
        TspError: unknown layout, timing neither in the file nor given, or different in both.
    """
    if layout not in LAYOUTS:
        raise TspError(f"export: {layout!r} is not a layout; allowed: {', '.join(LAYOUTS)}")
    with FeatureFile(features) as file:
        time = _timing(file, timing)
        output.mkdir(parents=True, exist_ok=True)
        videos = read_annotations(annotations) if annotations is not None else []
        LAYOUTS[layout](file, output, time, videos, length)
        log.info("%d videos in %s", len(file), output)


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


def opentad(file: FeatureFile, output: Path, time: Timing, videos: list[Video], length: int) -> None:
    """`<key>.npy` `[T, C]`, `opentad.json` (numbers for its configuration), and annotations if given.

    Its conversion of index to seconds: (i * feature_stride * sample_stride + offset_frames) / fps.
    """
    _write_arrays(file, output)
    facts = {
        "fps": time.fps,
        "feature_stride": time.stride,
        "sample_stride": 1,
        "offset_frames": time.clip_length // 2,
        "in_channels": _channels(file),
    }
    write_json(output / "opentad.json", facts)
    if not videos:
        return
    database = {
        video.key: {
            "subset": video.subset,
            "duration": video.duration_s,
            "frame": round((video.duration_s or 0.0) * time.fps),
            "annotations": [{"segment": [s.start_s, s.end_s], "label": s.label} for s in video.segments],
        }
        for video in videos
    }
    write_json(output / "annotations.json", {"version": "tsp export", "database": database})
    labels = sorted({s.label for video in videos for s in video.segments if s.label})
    _write_lines(output / "category_idx.txt", labels)
    _write_lines(output / "missing_files.txt", [video.key for video in videos if video.key not in file])


def actionformer(file: FeatureFile, output: Path, time: Timing, videos: list[Video], length: int) -> None:
    """`<key>.npy` `[T, C]` and `actionformer.json`, its options of the data set.

    Its conversion of seconds to index: (t * fps - num_frames / 2) / feat_stride.
    """
    _write_arrays(file, output)
    options = {
        "default_fps": time.fps,
        "feat_stride": time.stride,
        "num_frames": time.clip_length,
        "input_dim": _channels(file),
    }
    write_json(output / "actionformer.json", options)


def bmn(file: FeatureFile, output: Path, time: Timing, videos: list[Video], length: int) -> None:
    """`<key>.csv`: header and `length` (100) rows of C numbers, resampled linearly in time."""
    for name in progress(file.names, desc="export", unit="video"):
        array = _resampled(file, name, length)
        header = ",".join(f"f{k}" for k in range(array.shape[1]))
        with atomic(output / f"{name}.csv") as temporary:
            np.savetxt(temporary, array, fmt="%.9g", delimiter=",", header=header, comments="")


def gtad(file: FeatureFile, output: Path, time: Timing, videos: list[Video], length: int) -> None:
    """One `features.h5`: `<key>` -> `[length, C]`, resampled linearly in time: the input in the paper."""
    with atomic(output / "features.h5") as temporary, h5py.File(temporary, "w") as target:
        for name in progress(file.names, desc="export", unit="video"):
            target.create_dataset(name, data=_resampled(file, name, length))


def bmt(file: FeatureFile, output: Path, time: Timing, videos: list[Video], length: int) -> None:
    """`<key>_rgb.npy` `[T, C]` and `<key>_flow.npy`, zeros: BMT adds both."""
    for name in progress(file.names, desc="export", unit="video"):
        _save(output / f"{name}_rgb.npy", file[name])
        _save(output / f"{name}_flow.npy", np.zeros_like(file[name]))


def pkl(file: FeatureFile, output: Path, time: Timing, videos: list[Video], length: int) -> None:
    """`<key>.pkl`: the pickled array `[T, C]`, as written by the released extraction."""
    for name in progress(file.names, desc="export", unit="video"):
        with atomic(output / f"{name}.pkl") as temporary:
            temporary.write_bytes(pickle.dumps(file[name], protocol=4))


LAYOUTS: dict[str, Callable[[FeatureFile, Path, Timing, list[Video], int], None]] = {
    "opentad": opentad,
    "actionformer": actionformer,
    "bmn": bmn,
    "gtad": gtad,
    "bmt": bmt,
    "pkl": pkl,
}


def _write_arrays(file: FeatureFile, output: Path) -> None:
    for name in progress(file.names, desc="export", unit="video"):
        _save(output / f"{name}.npy", file[name])


def _save(path: Path, array: Array) -> None:
    with atomic(path) as temporary, temporary.open("wb") as target:
        np.save(target, array)


def _resampled(file: FeatureFile, name: str, length: int) -> Array:
    array = file[name]
    if not len(array):
        raise TspError(f"{file.path}: {name!r} has no features to resample")
    return resample_time(array, length)


def _channels(file: FeatureFile) -> int:
    return int(file[file.names[0]].shape[-1]) if file.names else 0


def _write_lines(path: Path, lines: list[Any]) -> None:
    with atomic(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
