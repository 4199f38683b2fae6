"""HDF5 files, on file systems without locks as well."""

import logging
import re
from pathlib import Path
from typing import Any

import h5py

log = logging.getLogger(__name__)
# ENOLCK, ENOSYS and EOPNOTSUPP in the message of the library.
NO_LOCKS = re.compile(r"unable to lock file, errno = (37|38|95)\b")


def open_hdf5(path: str | Path, mode: str = "r", **options: Any) -> h5py.File:
    """Open an HDF5 file; where the file system has no locks, without one, and the log states so.

    Args:
        path: the file.
        mode: as of `h5py.File`.
        options: of `h5py.File`.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        return h5py.File(path, mode, **options)
    except OSError as error:
        if not NO_LOCKS.search(str(error)):
            raise
        log.warning("%s: the file system has no locks; opened without one", path)
        return h5py.File(path, mode, locking=False, **options)
