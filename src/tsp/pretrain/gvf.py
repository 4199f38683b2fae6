"""Global video features (GVF): one vector per video, the clip features of another encoder pooled over time."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tsp import __version__
from tsp.errors import TspError
from tsp.io.features import FeatureFile, feature_writer
from tsp.io.files import sha256
from tsp.names import feature_key
from tsp.progress import progress

log = logging.getLogger(__name__)
POOLS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "max": lambda x: x.max(axis=0),
    "avg": lambda x: x.mean(axis=0, dtype=np.float64).astype(np.float32),
}


def compute_gvf(features: Iterable[str | Path], output: str | Path, pool: Literal["max", "avg"] = "max") -> None:
    """Pool every video of some feature files into one file that training and validation share.

    Args:
        features: feature files (`[n, C]` per video) of all subsets; a video is in one of them only.
        output: HDF5, one float32 `[C]` per video under its stem; provenance in the root attributes.
        pool: over time, element-wise: maximum (paper) or mean (its ablation).

    Raises:
        TspError: no features, or files of different encoders.

    Paper: section 3.2 (global video feature).
    """
    paths = [Path(p) for p in features]
    files = [FeatureFile(p) for p in paths]
    if not files:
        raise TspError(f"{output}: no feature files to pool")
    encoder = files[0].attributes.get("weights_sha256")
    for file in files:
        if file.attributes.get("weights_sha256") != encoder:
            raise TspError(f"{file.path}: features of another encoder than {files[0].path}; a GVF file needs one")
    facts: dict[str, Any] = {
        "producer": f"tsp {__version__}",
        "pool": pool,
        "sources": [str(p) for p in paths],
        "sources_sha256": [sha256(p) for p in paths],
        **{k: v for k, v in files[0].attributes.items() if k not in ("producer", "sources_sha256", "time")},
    }
    empty = 0
    with feature_writer(output, facts) as writer:
        for file in files:
            for name in progress(file.names, desc=f"pool {file.path.name}", unit="video"):
                clips = file[name]
                if len(clips) == 0:
                    empty += 1
                    continue
                writer.write(name, POOLS[pool](clips))
            file.close()
    if empty:
        log.warning("%s: %d videos have no clip and get no global feature", output, empty)


def read_gvf(path: str | Path, filenames: Iterable[str]) -> dict[str, np.ndarray]:
    """Global features of some videos, in memory.

    Args:
        path: file of `compute_gvf`, or one released with the paper.
        filenames: of the videos, with extension.

    Returns:
        filename -> float32 `[C]`, the same C for all.

    Raises:
        TspError: a video is missing, or an entry is not a vector (`[T, C]` features that were not pooled).
    """
    with FeatureFile(path) as file:
        found = {}
        for filename in filenames:
            # Released files cut the name at its first dot, this library at the last.
            keys = (feature_key(filename), filename.split(".", 1)[0])
            vector = file[next((k for k in keys if k in file), keys[0])]
            if vector.ndim != 1:
                raise TspError(
                    f"{path}: {keys[0]!r} has shape {vector.shape}, expected one vector per video; pool it over time"
                )
            found[filename] = vector
    lengths = {len(v) for v in found.values()}
    if len(lengths) > 1:
        raise TspError(f"{path}: vectors of different lengths {sorted(lengths)}")
    return found
