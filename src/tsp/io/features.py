"""Feature files: HDF5, one data set `[n, C]` float32 per video at the root, properties as attributes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tsp.errors import TspError
from tsp.io.files import atomic
from tsp.io.hdf5 import open_hdf5

# The time of a feature follows from these; files written by the pipeline always have them.
TIME_ATTRIBUTES = ("stride", "fps", "clip_length")


class FeatureWriter:
    """Writes features video by video; created by `feature_writer`."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def write(self, name: str, array: np.ndarray) -> None:
        """Add one video.

        Args:
            name: key of the video (`names.feature_key`).
            array: `[n, C]` float32, one row per clip (or `[C]` for a global video feature).

        Raises:
            TspError: not finite, or the key exists already.
        """
        # Converted before the check: a number beyond float32 becomes infinite.
        with np.errstate(over="ignore"):
            data = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(data).all():
            raise TspError(f"{self._file.filename}: features of {name!r} are not finite")
        if name in self._file:
            raise TspError(f"{self._file.filename}: {name!r} occurs twice")
        # HDF5 cannot chunk an empty array; level 9 takes ten times as long and saves little on floats.
        filters = {"compression": "gzip", "compression_opts": 1} if data.size else {}
        self._file.create_dataset(name, data=data, **filters)


@contextmanager
def feature_writer(path: str | Path, attributes: Mapping[str, Any]) -> Iterator[FeatureWriter]:
    """Open a new feature file that replaces `path` only if the block succeeds.

    Args:
        path: the file.
        attributes: of the root: stride (frames at `fps`), fps, clip_length, encoder, weights_sha256...
    """
    with atomic(path) as temporary, open_hdf5(temporary, "w", track_order=True) as file:
        for key, value in attributes.items():
            file.attrs[key] = value
        yield FeatureWriter(file)


class FeatureFile(Mapping[str, np.ndarray]):
    """A feature file, read as a mapping from the key of a video to float32 `[n, C]`.

    Raises:
        TspError: the file is missing or not an HDF5 file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file = open_hdf5(self.path, "r")
        except OSError as error:
            raise TspError(f"{self.path}: cannot be read as HDF5 ({error})") from error

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the root; empty for the files released with the paper."""
        return {k: v.item() if isinstance(v, np.generic) else v for k, v in self._file.attrs.items()}

    @property
    def names(self) -> list[str]:
        """Keys of the videos in file order."""
        return list(self._file)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._file:
            raise TspError(f"{self.path}: no features of {name!r}; keys look like {next(iter(self._file), None)!r}")
        try:
            return np.asarray(self._file[name][()], dtype=np.float32)
        except OSError as error:
            raise TspError(f"{self.path}: features of {name!r} are damaged ({error}); recreate the file") from error

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the features of a video that the file has, without reading them; () of what is no array."""
        try:
            return tuple(getattr(self._file[name], "shape", ()))
        except (KeyError, OSError) as error:
            raise TspError(f"{self.path}: features of {name!r} are damaged ({error}); recreate the file") from error

    def __contains__(self, name: object) -> bool:
        return name in self._file

    def __iter__(self) -> Iterator[str]:
        return iter(self._file)

    def __len__(self) -> int:
        return len(self._file)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "FeatureFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def merge_features(paths: list[Path], output: str | Path) -> None:
    """Merge the shards of one subset in the given order; attributes must agree, lists of failures are merged.

    Raises:
        TspError: shards with different stride, rate, clip length, encoder, weights or settings.
    """
    files = [FeatureFile(path) for path in paths]
    try:
        attributes = files[0].attributes
        for file in files[1:]:
            for key in (*TIME_ATTRIBUTES, "encoder", "weights_sha256", "config_hash"):
                if file.attributes.get(key) != attributes.get(key):
                    raise TspError(
                        f"{file.path}: {key} is {file.attributes.get(key)!r}, others {attributes.get(key)!r}"
                    )
        shards = [file.attributes for file in files]
        with feature_writer(output, attributes | _failures(shards) | _resumed(shards)) as writer:
            for file in files:
                for name in file.names:
                    writer.write(name, file[name])
    finally:
        for file in files:
            file.close()


def failed_attributes(failed: Mapping[str, str], n_failed: int | None = None) -> dict[str, Any]:
    """The attributes `failed` (a JSON object, at most 200 videos: an attribute holds 64 KiB) and `n_failed`."""
    listed = json.dumps(dict(list(failed.items())[:200]))
    return {"failed": listed, "n_failed": len(failed) if n_failed is None else n_failed}


def add_resumed(path: str | Path, differences: list[str]) -> None:
    """Add the attribute `resumed` to a feature file: the differences accepted when its extraction was resumed."""
    with open_hdf5(path, "r+") as file:
        file.attrs["resumed"] = json.dumps(differences)


def _resumed(shards: list[dict[str, Any]]) -> dict[str, Any]:
    found = [difference for shard in shards for difference in json.loads(shard.get("resumed", "[]"))]
    return {"resumed": json.dumps(list(dict.fromkeys(found)))} if found else {}


def _failures(shards: list[dict[str, Any]]) -> dict[str, Any]:
    stated = [shard for shard in shards if "failed" in shard]
    failed = {name: reason for shard in stated for name, reason in json.loads(shard["failed"]).items()}
    return failed_attributes(failed, sum(shard["n_failed"] for shard in stated)) if stated else {}
