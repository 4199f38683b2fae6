"""Feature files that others released, brought into the discipline of our own."""

import logging
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tsp import __version__
from tsp.encoders.config import EncoderConfig
from tsp.encoders.weights import build_encoder
from tsp.errors import TspError
from tsp.features.extract import TIME
from tsp.io.features import feature_writer
from tsp.io.fetch import check_sum, checked_sum, fetch_released
from tsp.io.files import atomic, encoded, sha256_of_list
from tsp.io.pickles import read_pickled_array
from tsp.progress import progress

log = logging.getLogger(__name__)


def fetch_features(
    output: Path,
    *,
    url: str | None,
    path: str | None,
    digest: str | None,
    encoder: EncoderConfig,
    stride: int,
) -> None:
    """Fetch a released feature file, check every entry, and state at its root what the release leaves out.

    Args:
        output: HDF5 file to write, one `[n, C]` float data set per video.
        url: address; a download that was cut goes on where it stopped.
        path: local file instead, or a folder of `<key>.pkl`, one pickled float array `[n, C]` per video.
        digest: first hex digits of its SHA-256; None: unchecked, with a warning. The sum found is kept as attribute
            `source_sha256`. That of a folder is over the lines `<sha256>  <name>` of its `.pkl` files sorted by name:
            `LC_ALL=C; sha256sum -- *.pkl | sha256sum`.
        encoder: network and clips that the features are of.
        stride: frames at the clips' rate between the starts of consecutive clips.

    Raises:
        TspError: not to be had, another file than expected, or not such features.

    Paper: released features (stride 16 on ActivityNet, 1 on THUMOS14).
    """
    feature_dim = int(build_encoder(encoder.factory).feature_dim)  # type: ignore[arg-type]
    facts = {
        "producer": f"tsp {__version__} features.released",
        "stride": stride,
        "fps": encoder.fps,
        "clip_length": encoder.clip_length,
        "encoder": encoder.factory,
    }
    # Kept beside the output until all is well: a second try downloads nothing.
    fetched = output.with_name(output.name + ".fetched")
    if path is not None and Path(path).is_dir():
        found = _join_pickles(Path(path), fetched, digest)
    elif fetched.exists():
        found = checked_sum(fetched, digest, str(url or path))
    else:
        found = fetch_released(fetched, url=url, path=path, digest=digest)
    try:
        source = {"source": url or path, "source_sha256": found, "time": TIME}
        with atomic(output) as temporary:
            fetched.replace(temporary)
            _state(temporary, {**facts, **source}, feature_dim, str(url or path))
    finally:
        fetched.unlink(missing_ok=True)


def _join_pickles(folder: Path, output: Path, digest: str | None) -> str:
    """Write the `<key>.pkl` of a folder as one feature file without facts; returns the folder's SHA-256."""
    # As the shell's `*.pkl`: hidden files are what a copy that was cut, or another system, left behind.
    files = [path for path in folder.glob("*.pkl") if not path.name.startswith(".")]
    # In the order of LC_ALL=C; names become keys, which are UTF-8.
    files.sort(key=lambda path: encoded(path.name, folder))
    if not files:
        raise TspError(f"{folder}: holds no .pkl file")
    for path in files:
        if not path.is_file() or not os.access(path, os.R_OK):
            raise TspError(f"{path}: is no file that can be read (a folder, or a broken link?)")
    found = sha256_of_list(files)
    check_sum(found, digest, str(folder))
    with feature_writer(output, {}) as writer:
        for path in progress(files, desc="pickles", unit="video"):
            with np.errstate(over="ignore"):
                array = read_pickled_array(path).astype(np.float32)
            # The writer's own message would name the output.
            if not np.isfinite(array).all():
                raise TspError(f"{path}: features are not finite")
            writer.write(path.stem, array)
    return found


def _state(file_path: Path, facts: dict[str, Any], feature_dim: int, source: str) -> None:
    try:
        with h5py.File(file_path, "r+") as file:
            for name, entry in file.items():
                if not isinstance(entry, h5py.Dataset) or entry.ndim != 2 or entry.shape[1] != feature_dim:
                    found = getattr(entry, "shape", "a group")
                    raise TspError(f"{source}: entry {name!r} is {found}, expected [n, {feature_dim}]")
                if not np.issubdtype(entry.dtype, np.floating):
                    raise TspError(f"{source}: entry {name!r} holds {entry.dtype}, expected floats")
            if not len(file):
                raise TspError(f"{source}: holds no video")
            log.info("%d videos", len(file))
            file.attrs.update(facts)
    except OSError as error:
        raise TspError(f"{source}: cannot be read as HDF5 ({error})") from error
