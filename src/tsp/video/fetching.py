"""The raw files of a store: what each was made from, and fetching those whose source is another one now."""

import logging
import os
import shutil
import urllib.parse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tsp.io.http import PART, FetchError, fetch_file, with_retries
from tsp.io.sources import is_remote, local_path, scheme, source_content
from tsp.io.store import RECORDS, Content, Store
from tsp.names import feature_key
from tsp.video.config import DownloadConfig
from tsp.video.raw import VIDEO_SUFFIXES, media_suffix, raw_names, raw_path

log = logging.getLogger(__name__)
# In bytes; file systems allow 255.
LONGEST_NAME = 236
# Address of a page, folder, stem, options -> raw file; `pages.fetch_page`, which only the download step imports.
FetchPage = Callable[[str, Path, str, DownloadConfig], Path]


def fetch(
    filename: str, source: str, store: Path, config: DownloadConfig, *, fetch_page: FetchPage | None = None
) -> Path:
    """Make the raw file of one video what its source is; temporary failures are retried.

    Args:
        filename: name of the standardised file; the raw file has its stem.
        source: a path, `file://`, `http(s)://` address of a file or of a video page.
        store: folder of the raw files.
        config: attempts, timeouts, limits.
        fetch_page: downloads video pages; None: pages raise `NeedsDownloader`.

    Returns:
        The raw file.

    Raises:
        FetchError: status and reason for the manifest.
        OSError: an error of the machine.
    """
    RawFiles(store, replace(config, keep_raw=True), fetch_page).obtain(filename, source)
    found = raw_path(store, filename)
    assert found is not None
    return found


def fetch_again(filename: str, store: Path, digest: str, config: DownloadConfig) -> Path:
    """Fetch a raw file that was deleted after standardisation, from the source in its record.

    Args:
        filename: name of the standardised file.
        store: folder of the raw files.
        digest: SHA-256 that the file must have.
        config: attempts, timeouts, limits.

    Raises:
        NeedsDownloader: only the environment of rule `download` can fetch it.
        FetchError: the source is unknown, unavailable, or has other content now.
    """
    records = Store(store)
    name = next((n for n in raw_names(filename) if records.recorded(n) is not None), None)
    if name is None:
        raise FetchError("corrupt", "the raw file is missing; download the shard again (docs/runbook.md)")
    source = str(records.notes(name).get("source", ""))
    if is_page(source):
        # The download step keeps what its record describes, so without one it fetches the file.
        records.forget(name)
    path = fetch(filename, source, store, config)
    found = Store(store).content(path.name)
    if found is None or found.sha256 != digest:
        records.remove(path.name)
        raise FetchError("gone", f"{source}: other content than at its download; download the shard again")
    return path


class NeedsDownloader(FetchError):
    """A video page that only yt-dlp can fetch."""


class RawFiles:
    """The raw files of a store, each compared with its source before it is kept.

    A local file is compared by SHA-256; it is read only where its size or date changed. A remote one is kept while its
    address, and for a page the format, is the recorded one: the server is not asked again.

    Args:
        store: folder of the files.
        config: options.
        fetch_page: downloads video pages; None: pages raise `NeedsDownloader`.
    """

    def __init__(self, store: Path, config: DownloadConfig, fetch_page: FetchPage | None = None) -> None:
        self.store, self.config, self.fetch_page = Store(store), config, fetch_page
        # Read once: asking for every possible name of every video is slow on network disks.
        self.before = {path.name for path in store.glob("*")}
        self.before |= {path.name.removesuffix(".json") for path in (store / RECORDS).glob("*.json")}
        self.sources: dict[str, Content | None] = {}
        """Content of the local sources seen; None: missing."""
        self.unrecorded: list[str] = []
        """Names of files that had no record and were fetched again."""

    def obtain(self, filename: str, source: str) -> Content:
        """Keep the raw file of a video, or fetch it; arguments and errors as for `fetch`."""
        if not _is_name(filename):
            raise FetchError("corrupt", f"{filename[:100]!r} is no file name")
        if scheme(source) not in ("", "file", "http", "https"):
            raise FetchError("blocked", f"{scheme(source)}:// is not supported; state http(s)://, file:// or a path")
        there = raw_path(self.store.folder, filename)
        unrecorded = there is not None and self.store.recorded(there.name) is None
        found = with_retries(
            lambda: self._remote(filename, source) if is_remote(source) else self._local(filename, source),
            self.config.attempts,
            lambda error, pause: log.info("%s: %s; retrying in %.0f s", source, error, pause),
        )
        if unrecorded:
            self.unrecorded.append(filename)
        return found

    def _local(self, filename: str, source: str) -> Content:
        path = local_path(source)
        name = feature_key(filename) + media_suffix(path.name if path else "")
        notes = self.store.notes(name)
        known = Content(**notes["content"]) if notes.get("source") == source and "content" in notes else None
        found = source_content(source, known)
        if path is not None:
            self.sources[source] = found
        if path is None or found is None:
            if path is not None and os.path.isfile(path):  # noqa: PTH113 - False also for impossible names
                raise FetchError("blocked", f"{path}: cannot be read")
            self._discard(filename, "")
            raise FetchError("gone", f"no such file: {source[:300]}")
        identity, notes = {"sha256": found.sha256}, {"source": source, "content": vars(found)}
        kept = self._kept(name, identity, found)
        if kept is None:
            _copy(path, self.store.path(name))
            kept = self.store.record(name, identity, notes=notes, known=found)
            if kept.sha256 != found.sha256:
                self.store.remove(name)
                raise FetchError("transient", f"{source}: changed while it was copied")
        elif self.store.notes(name) != notes:
            self.store.note(name, notes)
        self._discard(filename, name)
        return kept

    def _remote(self, filename: str, source: str) -> Content:
        try:
            suffix = media_suffix(urllib.parse.urlsplit(source).path)
        except ValueError as error:
            raise FetchError("blocked", f"not an address that can be requested ({error})") from error
        identity = {"address": source} | ({"format": self.config.format} if is_page(source) else {})
        for name in self.before.intersection(raw_names(filename)):
            kept = self._kept(name, identity)
            if kept is not None:
                return kept
        if is_page(source):
            if self.fetch_page is None:
                raise NeedsDownloader("blocked", f"{source}: only the download step fetches video pages")
            path, said = self.fetch_page(source, self.store.folder, feature_key(filename), self.config), {}
        else:
            path = self.store.path(feature_key(filename) + suffix)
            said = fetch_file(source, path, timeout_s=self.config.timeout_s, bytes_per_s=self.config.bytes_per_s)
        found = self.store.record(path.name, identity, notes={"source": source, "server": said})
        self._discard(filename, path.name)
        return found

    def _kept(self, name: str, identity: dict[str, str], known: Content | None = None) -> Content | None:
        """Content of a raw file that stays as it is, or was deleted after standardisation; None: fetch it."""
        if self.store.recorded(name) != identity:
            return None
        if not self.store.path(name).exists():
            return None if self.config.keep_raw else self.store.recorded_content(name)
        return self.store.content(name) if self.store.is_current(name, identity, known) else None

    def _discard(self, filename: str, but: str) -> None:
        """Delete the raw files that a video had before, under other extensions."""
        for name in self.before.intersection(raw_names(filename)) - {but}:
            self.store.remove(name)


def _is_name(filename: str) -> bool:
    """Whether it is a plain printable name, short enough for prefixes and suffixes of temporary files."""
    if not filename or filename in (".", "..") or Path(filename).name != filename:
        return False
    return filename.isprintable() and len(filename.encode("utf-8", "replace")) <= LONGEST_NAME


def is_page(source: str) -> bool:
    """Whether a source is the address of a video page rather than of a file."""
    if not is_remote(source):
        return False
    try:
        return not urllib.parse.urlsplit(source).path.lower().endswith(tuple(VIDEO_SUFFIXES))
    except ValueError:  # no address; fetching it states so
        return False


def _copy(path: Path, target: Path) -> None:
    part = target.with_name(target.name + PART)
    part.unlink(missing_ok=True)
    try:
        part.hardlink_to(path.resolve())  # avoids a second copy on the same disk
    except OSError:
        try:
            shutil.copyfile(path, part)
        except PermissionError as error:
            raise FetchError("blocked", f"{path}: {error.strerror}") from error
    part.replace(target)
    part.unlink(missing_ok=True)  # renaming onto another name of the same file leaves both
