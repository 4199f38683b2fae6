"""Download of raw videos: local files, plain HTTP(S) files, or video pages through yt-dlp."""

import importlib.util
import logging
import os
import shutil
import tempfile
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.http import GONE, PART, TEMPORARY, FetchError, fetch_file, with_retries
from tsp.io.sources import FIRST, local_path, source_content, write_facts
from tsp.io.store import Content, Store
from tsp.io.tables import LIST_COLUMNS, read_table, write_manifest
from tsp.names import feature_key
from tsp.progress import progress
from tsp.video.binaries import ffmpeg_path
from tsp.video.config import DownloadConfig
from tsp.video.raw import MEDIA_SUFFIXES, raw_names, raw_path

log = logging.getLogger(__name__)
# In bytes; file systems allow 255.
LONGEST_NAME = 236


def download_shard(
    videos: Path,
    store: Path,
    output: Path,
    config: DownloadConfig,
    *,
    facts: Path | None = None,
    token: str = FIRST,
) -> None:
    """Download the videos of one shard; a raw file is kept only while its source is the recorded one.

    Args:
        videos: video list of the shard (video, filename, source).
        store: folder of the raw files.
        output: manifest to write: one row per video with status, reason, bytes and sha256.
        config: options.
        facts: file to write: the local sources, for the planner (`tsp.io.sources`); None: not written.
        token: the planner's token of this job.

    Raises:
        TspError: an error of the machine (disk full, no permission); an error of a video becomes a row.
    """
    entries = read_table(videos, LIST_COLUMNS)[LIST_COLUMNS].to_numpy().tolist()
    store.mkdir(parents=True, exist_ok=True)
    raw = RawFiles(store, config)
    with ThreadPoolExecutor(config.workers) as pool:
        done = pool.map(lambda entry: _row(entry[0], entry[1], entry[2], raw), entries)
        found = list(progress(done, desc="download", total=len(entries), unit="video"))
    write_manifest(found, output)
    if facts is not None:
        write_facts(facts, token, raw.sources)
    if raw.unrecorded:
        log.warning("%d raw files had no record of their source and were fetched again", len(raw.unrecorded))
    failed = [row for row in found if row["status"] != "ok"]
    if failed:
        log.warning("%d of %d videos were not downloaded; see %s", len(failed), len(found), output)


def _row(video: str, filename: str, source: str, raw: "RawFiles") -> dict[str, Any]:
    row: dict[str, Any] = {"video": video, "filename": filename, "status": "ok", "reason": ""}
    try:
        found = raw.obtain(filename, source)
        return {**row, "bytes": found.bytes, "sha256": found.sha256}
    except FetchError as error:
        log.warning("%s: %s: %s", video, error.status, error)
        return {**row, "status": error.status, "reason": str(error)}
    except OSError as error:
        raise TspError(
            f"{raw.store.folder}: cannot be written ({error.strerror or error}); free space or fix the permissions"
        ) from error


def fetch(filename: str, source: str, store: Path, config: DownloadConfig) -> Path:
    """Make the raw file of one video what its source is; temporary failures are retried.

    Args:
        filename: name of the standardised file; the raw file has its stem.
        source: a path, `file://`, `http(s)://` address of a file or of a video page.
        store: folder of the raw files.
        config: attempts, timeouts, limits.

    Returns:
        The raw file.

    Raises:
        FetchError: status and reason for the manifest.
        OSError: an error of the machine.
    """
    RawFiles(store, replace(config, keep_raw=True)).obtain(filename, source)
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
    if _is_page(source) and importlib.util.find_spec("yt_dlp") is None:
        # The download step keeps what its record describes, so without one it fetches the file.
        records.forget(name)
        raise NeedsDownloader("blocked", "yt-dlp is not installed in this environment")
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
    """

    def __init__(self, store: Path, config: DownloadConfig) -> None:
        self.store, self.config = Store(store), config
        self.sources: dict[str, Content | None] = {}
        """Content of the local sources seen; None: missing."""
        self.unrecorded: list[str] = []
        """Names of files that had no record and were fetched again."""

    def obtain(self, filename: str, source: str) -> Content:
        """Keep the raw file of a video, or fetch it; arguments and errors as for `fetch`."""
        if not _is_name(filename):
            raise FetchError("corrupt", f"{filename[:100]!r} is no file name")
        there = raw_path(self.store.folder, filename)
        unrecorded = there is not None and self.store.recorded(there.name) is None
        found = with_retries(
            lambda: self._remote(filename, source) if _is_remote(source) else self._local(filename, source),
            self.config.attempts,
            lambda error, pause: log.info("%s: %s; retrying in %.0f s", source, error, pause),
        )
        if unrecorded:
            self.unrecorded.append(filename)
        return found

    def _local(self, filename: str, source: str) -> Content:
        path = local_path(source)
        name = feature_key(filename) + _suffix(path.name if path else "")
        notes = self.store.notes(name)
        known = Content(**notes["content"]) if notes.get("source") == source and "content" in notes else None
        found = source_content(source, known)
        if path is not None:
            self.sources[source] = found
        if path is None or found is None:
            if path is not None and path.is_file():
                raise FetchError("blocked", f"{path}: cannot be read")
            self._discard(filename, "")
            raise FetchError("gone", f"no such file: {source}")
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
        identity = {"address": source} | ({"format": self.config.format} if _is_page(source) else {})
        for name in raw_names(filename):
            kept = self._kept(name, identity)
            if kept is not None:
                return kept
        if _is_page(source):
            path, said = _page(source, self.store.folder, feature_key(filename), self.config), {}
        else:
            path = self.store.path(feature_key(filename) + _suffix(urllib.parse.urlsplit(source).path))
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
        for name in raw_names(filename):
            if name != but:
                self.store.remove(name)


def _is_name(filename: str) -> bool:
    """Whether it is a plain printable name, short enough for prefixes and suffixes of temporary files."""
    if not filename or filename in (".", "..") or Path(filename).name != filename:
        return False
    return filename.isprintable() and len(filename.encode("utf-8", "replace")) <= LONGEST_NAME


def _is_remote(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _is_page(source: str) -> bool:
    """Whether a source is the address of a video page rather than of a file."""
    return _is_remote(source) and not urllib.parse.urlsplit(source).path.lower().endswith(MEDIA_SUFFIXES)


def _copy(path: Path, target: Path) -> None:
    part = target.with_name(target.name + PART)
    part.unlink(missing_ok=True)
    try:
        part.hardlink_to(path)  # avoids a second copy on the same disk
    except OSError:
        try:
            shutil.copyfile(path, part)
        except PermissionError as error:
            raise FetchError("blocked", f"{path}: {error.strerror}") from error
    part.replace(target)


def _suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return suffix if suffix in MEDIA_SUFFIXES else ".media"


def _page(url: str, store: Path, stem: str, config: DownloadConfig) -> Path:
    """A video page, through yt-dlp in this process; configuration files of yt-dlp are ignored."""
    import yt_dlp

    with tempfile.TemporaryDirectory(dir=store, prefix=".page-") as name:
        folder = Path(name)
        options: dict[str, Any] = {
            "outtmpl": {"default": str(folder).replace("%", "%%") + "/video.%(ext)s"},
            "format": config.format,
            "quiet": True,
            "noprogress": True,
            "no_warnings": True,
            "noplaylist": True,
            "socket_timeout": config.timeout_s,
            "ratelimit": config.bytes_per_s,
            "logger": logging.getLogger("yt_dlp"),
            "cachedir": False,
            "ffmpeg_location": ffmpeg_path(),
        }
        if config.cookies:
            # yt-dlp rewrites the file, so parallel downloads must not share one.
            options["cookiefile"] = str(shutil.copyfile(config.cookies, folder / "cookies.txt"))
        try:
            with yt_dlp.YoutubeDL(options) as downloader:
                downloader.download([url])
        except yt_dlp.utils.DownloadError as error:
            raise _page_error(error) from error
        found = [path for path in folder.iterdir() if path.stem == "video" and path.suffix != PART]
        if not found:
            raise FetchError("blocked", "yt-dlp found no video on the page")
        return found[0].replace(store / (stem + _suffix(found[0].name)))


def _page_error(error: Any) -> FetchError:
    """Status from the cause that yt-dlp stores, or else from its message."""
    cause = error.exc_info[1] if error.exc_info else None
    text = " ".join(str(error).removeprefix("ERROR: ").split())[:300]
    code = getattr(cause, "status", None) or getattr(getattr(cause, "cause", None), "status", None)
    words = text.lower()
    if code in GONE or any(w in words for w in ("unavailable", "not found", "removed", "terminated", "no longer")):
        return FetchError("gone", text)
    if "private" in words or "sign in" in words or "login" in words:
        return FetchError("private", text)
    if code in TEMPORARY or type(cause).__name__ == "TransportError" or "timed out" in words:
        return FetchError("transient", text)
    if "no space left" in words:
        raise OSError(28, os.strerror(28))
    return FetchError("blocked", text)
