"""Records of outputs: what each file was made of, its checksum, and a link from which it is put back.

A workflow engine compares times. It cannot see that a file was damaged or edited, nor that a job that is run again
would make the same file from the same code, settings and inputs.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import read_json, sha256, write_json

FOLDER = Path("results/.made")
KEPT = FOLDER / "kept"
# Bytes of an output that is copied where hard links are impossible; a larger one is computed again.
LARGEST_COPY = 1_000_000_000

Record = dict[str, Any]


def record_path(path: str | Path) -> Path | None:
    """Path of the record of a file below the working directory; None for other files and for folders."""
    path = Path(path)
    if path.is_absolute() or ".." in path.parts or path.is_dir():
        return None
    return FOLDER / path.parent / f"{path.name}.json"


def read(path: str | Path) -> Record | None:
    """The record of an output; None without one.

    Raises:
        TspError: the record is damaged.
    """
    file = record_path(path)
    if file is None or not file.is_file():
        return None
    try:
        found = read_json(file)
        if {"sha256", "wildcards", "params"} <= set(found):
            return dict(found)
    except (TspError, TypeError, ValueError):
        pass
    raise TspError(f"{file}: damaged record; delete it to use {path} as it is")


def write(paths: Iterable[str | Path], facts: Mapping[str, Any]) -> None:
    """Record finished outputs, and link them so that they can be put back.

    Args:
        paths: outputs of one job; folders and files elsewhere have no record.
        facts: what they were made of; `sha256` and `bytes` are added for each.
    """
    for path in map(Path, paths):
        file = record_path(path)
        if file is not None and path.is_file():
            write_json(file, {**facts, "sha256": sha256(path), "bytes": path.stat().st_size})
            _link(path, KEPT / path)


def forget(paths: Iterable[str | Path]) -> None:
    """Delete the records of files that are about to be recreated."""
    for path in paths:
        file = record_path(path)
        if file is not None:
            file.unlink(missing_ok=True)


def read_all(paths: Iterable[str | Path]) -> dict[Path, Record]:
    """The records of all outputs of a job; empty if one of them has none, or a damaged one."""
    found = {}
    for path in map(Path, paths):
        try:
            record = read(path)
        except TspError:
            record = None  # damaged: the output is computed
        if record is None:
            return {}
        found[path] = record
    return found


def put_back(made: Mapping[Path, Record]) -> bool:
    """Restore outputs from their links, with the present time.

    Args:
        made: outputs of a job and their records.

    Returns:
        Whether it was done; if one output has no undamaged link, none is restored.
    """
    for path, record in made.items():
        kept = KEPT / path
        if not kept.is_file() or sha256(kept) != record["sha256"]:
            return False
    for path in made:
        if not _link(KEPT / path, path):
            return False
        os.utime(path)
    return bool(made)


def check(paths: Iterable[str | Path]) -> dict[str, str]:
    """Compare files with their records; files without one are accepted.

    Returns:
        SHA-256 by path, of every file; folders are left out.

    Raises:
        TspError: a file differs from what its step wrote.
    """
    found = {}
    for path in map(Path, paths):
        if not path.is_file():
            continue
        found[str(path)] = sha256(path)
        record = read(path)
        if record is not None and found[str(path)] != record["sha256"]:
            raise TspError(
                f"{path}: differs from what its step wrote (damaged or edited); delete it to recreate it, or delete"
                f" {record_path(path)} to use it as it is"
            )
    return found


def _link(source: Path, target: Path) -> bool:
    """Replace `target` by another name of `source`; where links are impossible by a copy, of files up to 1 GB."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:80]}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(source)
    except OSError:
        if source.stat().st_size > LARGEST_COPY:
            return False
        shutil.copyfile(source, temporary)
    temporary.replace(target)
    # Renaming a file onto another name of itself leaves both.
    temporary.unlink(missing_ok=True)
    return True
