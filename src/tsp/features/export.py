"""Export of feature files to the layouts of other projects (docs/formats/exports.md), one function per layout.

T features of a video, C channels.
"""

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tsp.errors import TspError
from tsp.features.detectors import actionformer, opentad
from tsp.features.exporting import Array, Export, Features, Timing, save, timing_of
from tsp.features.resample import resample_time
from tsp.io.annotations import read_annotations
from tsp.io.features import FeatureFile
from tsp.io.files import atomic
from tsp.io.hdf5 import open_hdf5
from tsp.progress import progress

log = logging.getLogger(__name__)
BMN_LENGTH = 100


def export(
    layout: str,
    features: Path | Sequence[Path],
    output: Path,
    *,
    annotations: Path | None = None,
    class_scores: Path | None = None,
    timing: Timing | None = None,
    length: int = BMN_LENGTH,
) -> None:
    """Write feature files in the layout of another project, with a README of the lines that its configuration needs.

    Args:
        layout: one of `LAYOUTS`.
        features: feature files of the pipeline or released with the paper, such as those of both subsets.
        output: folder to write into.
        annotations: canonical annotations, for layouts with an annotation file.
        class_scores: class scores of whole videos, `{"results": {video: scores}, "class": names}`, for these layouts.
        timing: for files without timing attributes (the released ones); it must agree with existing attributes.
        length: number of steps of layouts with a fixed one.

    Raises:
        TspError: unknown layout, timing neither in the file nor given, or different in two of them.
    """
    if layout not in LAYOUTS:
        raise TspError(f"export: {layout!r} is not a layout; allowed: {', '.join(LAYOUTS)}")
    if class_scores is not None and (annotations is None or LAYOUTS[layout] not in (opentad, actionformer)):
        raise TspError("export: --class-scores are written for opentad and actionformer, together with --annotations")
    with ExitStack() as opened:
        paths = [features] if isinstance(features, Path) else features
        files = [opened.enter_context(FeatureFile(path)) for path in paths]
        time = timing_of(files, timing)
        output.mkdir(parents=True, exist_ok=True)
        made = Export(
            features=Features(files),
            output=output,
            time=time,
            videos=read_annotations(annotations) if annotations is not None else [],
            class_scores=class_scores,
            length=length,
        )
        LAYOUTS[layout](made)
        log.info("%d videos in %s", len(made.features), output)


def bmn(made: Export) -> None:
    """`<key>.csv`: header and `length` (100) rows of C numbers, resampled linearly in time."""
    for name, array in _resampled(made):
        header = ",".join(f"f{k}" for k in range(array.shape[1]))
        with atomic(made.output / f"{name}.csv") as temporary:
            np.savetxt(temporary, array, fmt="%.9g", delimiter=",", header=header, comments="")
    _readme(made, "BMN", BMN)


def gtad(made: Export) -> None:
    """One `features.h5`: `<key>` -> `[length, C]`, resampled linearly in time: the input in the paper."""
    with atomic(made.output / "features.h5") as temporary, open_hdf5(temporary, "w") as target:
        for name, array in _resampled(made):
            target.create_dataset(name, data=array)
    _readme(made, "G-TAD", GTAD)


def bmt(made: Export) -> None:
    """`<key>_rgb.npy` `[T, C]` and `<key>_flow.npy`, zeros: BMT adds both."""
    for name, array in progress(made.features.items(), desc="export", unit="video"):
        save(made.output / f"{name}_rgb.npy", array)
        save(made.output / f"{name}_flow.npy", np.zeros_like(array))
    _readme(made, "BMT", BMT)


def pkl(made: Export) -> None:
    """`<key>.pkl`: the pickled array `[T, C]`, as written by the released extraction."""
    for name, array in progress(made.features.items(), desc="export", unit="video"):
        with atomic(made.output / f"{name}.pkl") as temporary:
            temporary.write_bytes(pickle.dumps(array, protocol=4))
    _readme(made, "the released extraction of TSP", PKL)


LAYOUTS: dict[str, Callable[[Export], None]] = {
    "opentad": opentad,
    "actionformer": actionformer,
    "bmn": bmn,
    "gtad": gtad,
    "bmt": bmt,
    "pkl": pkl,
}
BMN = """
BMN reads `csv_mean_{length}/<video>.csv` below its feature path:

```sh
mkdir -p FEATURES && ln -s {folder} FEATURES/csv_mean_{length}
python main.py --mode train --feature_path FEATURES/ --feat_dim {channels} --temporal_scale {length}
```
"""
GTAD = """
The `anet` branch of G-TAD reads one HDF5 file; `--temporal_scale` is the number of rows, `--feat_dim` of channels:

```sh
python gtad_train.py --feature_path {folder}/features.h5 --feat_dim {channels} --temporal_scale {length}
```
"""
BMT = """
Options of BMT's `main.py`; features are `feature_timespan_in_fps / fps_at_extraction` seconds apart:

```sh
--video_features_path {folder}/ --d_vid {channels} --feature_timespan_in_fps {stride} --fps_at_extraction {fps:g}
```
"""
PKL = """
One pickled array per video. In `config/runs.yaml` of this repository:

```yaml
features: {{stride{stride}/DATASET-SUBSET: {{path: {folder}}}}}
```
"""


def _readme(made: Export, receiver: str, text: str) -> None:
    values = {"folder": made.folder, "channels": made.features.channels, "length": made.length}
    made.write_readme(f"Features for {receiver}", text.format(**values, stride=made.time.stride, fps=made.time.fps))


def _resampled(made: Export) -> Iterator[tuple[str, Array]]:
    for name, array in progress(made.features.items(), desc="export", unit="video"):
        if not len(array):
            raise TspError(f"{name!r} has no features to resample")
        yield name, resample_time(array, made.length)
