"""A folder of files with a record of each: what it was made of, and its checksum.

A step keeps a file only if its record states what the file would be made of now. The record of `NAME` is
`.made/NAME.json`; the checksum is computed again only where size or modification time differ from the recorded ones.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsp.io.files import atomic, sha256

RECORDS = ".made"


@dataclass(frozen=True)
class Content:
    """Size, modification time and checksum of a file."""

    bytes: int
    mtime_ns: int
    sha256: str


def content(path: Path, *known: Content | None) -> Content | None:
    """Measure a file; one with the size and date of a `known` content is not read.

    Returns:
        None: there is no such file.

    Raises:
        OSError: it cannot be read.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    for one in known:
        if one is not None and (found.st_size, found.st_mtime_ns) == (one.bytes, one.mtime_ns):
            return one
    return Content(found.st_size, found.st_mtime_ns, sha256(path))


class Store:
    """Files with records.

    Args:
        folder: folder of the files; it is created with the first record.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Path of a file, whether it exists or not."""
        return self.folder / name

    def recorded(self, name: str) -> dict[str, Any] | None:
        """What a file was made of; None without a readable record. The file itself may be gone."""
        record = self._read(name)
        return None if record is None else dict(record["identity"])

    def notes(self, name: str) -> dict[str, Any]:
        """Further facts of the record, which do not decide whether the file is kept."""
        record = self._read(name)
        return {} if record is None else dict(record["notes"])

    def recorded_content(self, name: str) -> Content | None:
        """Content of a file when it was recorded."""
        record = self._read(name)
        return None if record is None else Content(**record["content"])

    def content(self, name: str, known: Content | None = None) -> Content | None:
        """Content of a file now; None: it does not exist. A changed date alone is recorded and costs one reading.

        Args:
            name: of the file.
            known: content of the file that this one is a hard link to.
        """
        recorded = self.recorded_content(name)
        found = content(self.path(name), recorded, known)
        if found is not None and recorded is not None and found != recorded and found.sha256 == recorded.sha256:
            self._write(name, {**(self._read(name) or {}), "content": vars(found)})
        return found

    def is_current(self, name: str, identity: Mapping[str, Any], known: Content | None = None) -> bool:
        """Whether a file exists, was made of `identity`, and has the content that was recorded."""
        if self.recorded(name) != _plain(identity):
            return False
        recorded, found = self.recorded_content(name), self.content(name, known)
        return found is not None and recorded is not None and found.sha256 == recorded.sha256

    def record(
        self,
        name: str,
        identity: Mapping[str, Any],
        *,
        notes: Mapping[str, Any] | None = None,
        known: Content | None = None,
    ) -> Content:
        """Record what an existing file was made of.

        Args:
            name: of the file.
            identity: plain values; another identity means that the file is recreated.
            notes: further facts.
            known: content of the file, where its size and time are still those.

        Returns:
            Content of the file.
        """
        found = content(self.path(name), known)
        if found is None:
            raise FileNotFoundError(2, os.strerror(2), str(self.path(name)))
        self._write(name, {"identity": identity, "notes": notes or {}, "content": vars(found)})
        return found

    def note(self, name: str, notes: Mapping[str, Any]) -> None:
        """Replace the further facts of a record."""
        record = self._read(name)
        if record is not None:
            self._write(name, {**record, "notes": notes})

    def forget(self, name: str) -> None:
        """Delete the record of a file."""
        self._record(name).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Delete a file and its record."""
        self.path(name).unlink(missing_ok=True)
        self.forget(name)

    def names(self) -> list[str]:
        """Names of the files that have a record."""
        found = sorted(path.name for path in (self.folder / RECORDS).glob("*.json"))
        return [name for name in (file.removesuffix(".json") for file in found) if self.recorded(name) is not None]

    def _record(self, name: str) -> Path:
        return self.folder / RECORDS / f"{name}.json"

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            record = json.loads(self._record(name).read_bytes())
            Content(**record["content"])
            dict(record["identity"])
            dict(record["notes"])
        except (OSError, ValueError, TypeError, KeyError):
            return None  # like no record: the file is recreated
        return dict(record)

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        with atomic(self._record(name)) as temporary:
            temporary.write_text(json.dumps(record), encoding="ascii")


def _plain(identity: Mapping[str, Any]) -> Any:
    """As read back from a record: tuples are lists."""
    return json.loads(json.dumps(identity))
