"""Checksums of the outputs of steps, to detect files that were damaged or edited later.

A workflow engine compares times and cannot see that the content changed.
"""

from collections.abc import Iterable
from pathlib import Path

from tsp.errors import TspError
from tsp.io.files import atomic, read_text, sha256

FOLDER = Path("results/.sums")


def record_path(path: str | Path) -> Path | None:
    """Path of the checksum of a file below the working directory; None for other files and for folders."""
    path = Path(path)
    if path.is_absolute() or ".." in path.parts or path.is_dir():
        return None
    return FOLDER / path.parent / f"{path.name}.sha256"


def forget(paths: Iterable[str | Path]) -> None:
    """Delete the checksums of files that are about to be recreated."""
    for path in paths:
        record = record_path(path)
        if record is not None:
            record.unlink(missing_ok=True)


def record(paths: Iterable[str | Path]) -> None:
    """Store the checksums of finished files."""
    for path in paths:
        file = record_path(path)
        if file is not None and Path(path).is_file():
            with atomic(file) as temporary:
                temporary.write_text(sha256(path) + "\n", encoding="utf-8")


def check(paths: Iterable[str | Path]) -> None:
    """Compare files with their checksums; files without one are accepted.

    Raises:
        TspError: a file differs from what its step wrote.
    """
    for path in paths:
        file = record_path(path)
        if file is None or not file.is_file() or not Path(path).is_file():
            continue
        if sha256(path) != read_text(file).strip():
            raise TspError(
                f"{path}: differs from what its step wrote (damaged or edited); delete it to recreate it, or delete"
                f" {file} to use it as it is"
            )
