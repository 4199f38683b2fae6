"""Atomic writing, text, JSON and SHA-256, shared by all formats."""

import contextlib
import errno
import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tsp.errors import TspError

MACHINE_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path` that is renamed to it if the block succeeds.

    A killed process or a full disk leaves the old file (or none), never a partial one.

    Raises:
        TspError: the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept because pandas, ffmpeg and other writers choose the format by it.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:80]}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if not is_machine_fault(error):
            raise
        raise TspError(
            f"{path}: cannot be written ({error.strerror or error}); free space or fix the permissions"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def is_machine_fault(error: OSError) -> bool:
    """Whether an OSError concerns the disk or its permissions, not one file."""
    # HDF5 states the number only in its message.
    return error.errno in MACHINE_FAULTS or os.strerror(errno.ENOSPC) in str(error)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file, decompressed if its name ends in `.gz`, without a byte order mark.

    Raises:
        TspError: the file is missing, unreadable, not gzip or not UTF-8.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise TspError(f"{path}: cannot be read as text ({error})") from error


def read_json(path: str | Path, *, unique: bool = False) -> Any:
    """Read a JSON file (gzip accepted).

    Args:
        path: the file.
        unique: whether a key that occurs twice in one object is an error; otherwise the last one counts.

    Raises:
        TspError: missing, unreadable, or not JSON; the message states line and column.
    """
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_unique if unique else None)
    except (ValueError, RecursionError) as error:  # also numbers of too many digits, lists too deep
        raise TspError(f"{path}: not valid JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise ValueError(f"{twice!r} occurs twice in one object; join or remove one of them")
    return found


def write_json(path: str | Path, data: Any, *, indent: int | None = 1) -> None:
    """Write `data` as UTF-8 JSON, atomically; NaN is rejected because JSON has none."""
    text = json.dumps(data, ensure_ascii=False, indent=indent, allow_nan=False) + "\n"
    content = encoded(text, path)
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def encoded(text: str, path: str | Path) -> bytes:
    """Encode text for `path` as UTF-8.

    Raises:
        TspError: a lone surrogate, which JSON may carry and UTF-8 may not.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 30) : error.end + 10]
        raise TspError(f"{path}: lone Unicode surrogate in {around!r}; fix the source of this text") from error


def files_below(folder: str | Path) -> list[Path]:
    """All files below a folder, sorted, hidden ones excepted.

    Links to folders are followed; a folder that several links lead to is entered once. Links to nothing are listed.

    Raises:
        TspError: a folder cannot be listed.
    """
    found: list[str] = []
    entered = set()
    # A folder is entered by its own name before a link to it.
    waiting, links = [str(folder)], list[str]()
    while waiting or links:
        path = Path(waiting.pop() if waiting else links.pop())
        here = path.stat()
        if (here.st_dev, here.st_ino) in entered:
            continue
        entered.add((here.st_dev, here.st_ino))
        try:
            with os.scandir(path) as entries:
                listed = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise TspError(f"{path}: cannot be listed ({error.strerror}); fix its permissions or remove it") from error
        for entry in listed:
            with contextlib.suppress(OSError):  # a link to itself leads to nothing, like a broken one
                if entry.is_dir():
                    (links if entry.is_symlink() else waiting).append(entry.path)
                elif entry.is_file() or entry.is_symlink():
                    found.append(entry.path)
    return sorted(map(Path, found))


def sha256(path: str | Path) -> str:
    """Hex digest of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_list(paths: Iterable[Path]) -> str:
    """Hex digest over the lines `<sha256>  <name>` of these files, as `sha256sum -- FILES | sha256sum` prints it."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{sha256(path)}  ".encode() + os.fsencode(path.name) + b"\n")
    return digest.hexdigest()
