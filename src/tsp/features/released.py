"""Import of released feature files: validation, and the attributes of files of the pipeline."""

import logging
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tsp import __version__
from tsp.encoders.build import build_encoder
from tsp.encoders.config import EncoderConfig
from tsp.errors import TspError
from tsp.features.extract import TIME
from tsp.io.features import feature_writer
from tsp.io.fetch import fetch_released, verified_sha256, verify_sha256
from tsp.io.files import atomic, encoded, sha256_of_list
from tsp.io.hdf5 import open_hdf5
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
    """Fetch a released feature file, validate every entry, and add the attributes that the release omits.

    Args:
        output: HDF5 file to write, one `[n, C]` float data set per video.
        url: address; an interrupted download is resumed.
        path: local file instead, or a folder of `<key>.pkl` files with one pickled float array `[n, C]` each.
        digest: first hex digits of the SHA-256; None: not verified, with a warning. The full SHA-256 is stored as
            attribute `source_sha256`. That of a folder is computed over the lines `<sha256>  <name>` of its `.pkl`
            files sorted by name: `LC_ALL=C; sha256sum -- *.pkl | sha256sum`.
        encoder: network and clips of the features.
        stride: frames at the clips' rate between the starts of consecutive clips.

    Raises:
        TspError: not available, another checksum, or not such features.

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
    # Kept next to the output until it is complete, so that a retry downloads nothing.
    fetched = output.with_name(output.name + ".fetched")
    if path is not None and Path(path).is_dir():
        found = _join_pickles(Path(path), fetched, digest)
    elif fetched.exists():
        found = verified_sha256(fetched, digest, str(url or path))
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
    """Merge the `<key>.pkl` files of a folder into one feature file; returns the SHA-256 of the folder."""
    # As `*.pkl` in a shell: hidden files are remnants of interrupted copies or of another system.
    files = [path for path in folder.glob("*.pkl") if not path.name.startswith(".")]
    # In the order of LC_ALL=C; names become keys, which must be UTF-8.
    files.sort(key=lambda path: encoded(path.name, folder))
    if not files:
        raise TspError(f"{folder}: contains no .pkl file")
    for path in files:
        if not path.is_file() or not os.access(path, os.R_OK):
            raise TspError(f"{path}: not a readable file (a folder, or a broken link?)")
    found = sha256_of_list(files)
    verify_sha256(found, digest, str(folder))
    with feature_writer(output, {}) as writer:
        for path in progress(files, desc="pickles", unit="video"):
            with np.errstate(over="ignore"):
                array = read_pickled_array(path).astype(np.float32)
            # The message of the writer would name the output instead.
            if not np.isfinite(array).all():
                raise TspError(f"{path}: features are not finite")
            writer.write(path.stem, array)
    return found


def _state(file_path: Path, facts: dict[str, Any], feature_dim: int, source: str) -> None:
    try:
        with open_hdf5(file_path, "r+") as file:
            for name, entry in file.items():
                if not isinstance(entry, h5py.Dataset) or entry.ndim != 2 or entry.shape[1] != feature_dim:
                    found = getattr(entry, "shape", "a group")
                    raise TspError(f"{source}: entry {name!r} is {found}, expected [n, {feature_dim}]")
                if not np.issubdtype(entry.dtype, np.floating):
                    raise TspError(f"{source}: entry {name!r} holds {entry.dtype}, expected floats")
            if not len(file):
                raise TspError(f"{source}: contains no video")
            log.info("%d videos", len(file))
            file.attrs.update(facts)
    except OSError as error:
        raise TspError(f"{source}: cannot be read as HDF5 ({error})") from error
