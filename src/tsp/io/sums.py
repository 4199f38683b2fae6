"""Checksums of the files that steps hand on: what a disk or a hand has changed since is noticed, not used.

A workflow engine sees that a file is newer, not that it is another one.
"""

from collections.abc import Iterable
from pathlib import Path

from tsp.errors import TspError
from tsp.io.files import atomic, read_text, sha256

FOLDER = Path("results/.sums")


def record_path(path: str | Path) -> Path | None:
    """Where the sum of a file below the working directory is kept; None for files elsewhere and for folders."""
    path = Path(path)
    if path.is_absolute() or ".." in path.parts or path.is_dir():
        return None
    return FOLDER / path.parent / f"{path.name}.sha256"


def forget(paths: Iterable[str | Path]) -> None:
    """Drop the sums of files that are about to be made again."""
    for path in paths:
        record = record_path(path)
        if record is not None:
            record.unlink(missing_ok=True)


def record(paths: Iterable[str | Path]) -> None:
    """Keep the sums of finished files."""
    for path in paths:
        file = record_path(path)
        if file is not None and Path(path).is_file():
            with atomic(file) as temporary:
                temporary.write_text(sha256(path) + "\n", encoding="utf-8")


def check(paths: Iterable[str | Path]) -> None:
    """Compare files with their sums; a file without one was made by someone else and passes.

    Raises:
        TspError: a file is not what its step wrote.
    """
    for path in paths:
        file = record_path(path)
        if file is None or not file.is_file() or not Path(path).is_file():
            continue
        if sha256(path) != read_text(file).strip():
            raise TspError(
                f"{path}: not what its step wrote (a damaged file, or an edit); delete it to have it made again, or"
                f" delete {file} to use it as it is"
            )
