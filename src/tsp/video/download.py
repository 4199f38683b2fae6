"""Download of raw videos: local files, plain HTTP(S) files, or video pages through yt-dlp."""

import logging
import os
import shutil
import tempfile
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import sha256
from tsp.io.http import GONE, PART, TEMPORARY, FetchError, fetch_file, with_retries
from tsp.io.tables import LIST_COLUMNS, read_table, write_manifest
from tsp.names import feature_key
from tsp.progress import progress
from tsp.video.binaries import ffmpeg_path
from tsp.video.config import DownloadConfig
from tsp.video.raw import MEDIA_SUFFIXES, raw_path

log = logging.getLogger(__name__)
# In bytes; file systems allow 255.
LONGEST_NAME = 236


def download_shard(videos: Path, store: Path, output: Path, config: DownloadConfig) -> None:
    """Download the videos of one shard; files in the store are kept.

    Args:
        videos: video list of the shard (video, filename, source).
        store: folder of the raw files.
        output: manifest to write: one row per video with status, reason, bytes and sha256.
        config: options.

    Raises:
        TspError: an error of the machine (disk full, no permission); an error of a video becomes a row.
    """
    entries = read_table(videos, LIST_COLUMNS)[LIST_COLUMNS].to_numpy().tolist()
    store.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(config.workers) as pool:
        done = pool.map(lambda entry: _row(entry[0], entry[1], entry[2], store, config), entries)
        found = list(progress(done, desc="download", total=len(entries), unit="video"))
    write_manifest(found, output)
    failed = [row for row in found if row["status"] != "ok"]
    if failed:
        log.warning("%d of %d videos were not downloaded; see %s", len(failed), len(found), output)


def _row(video: str, filename: str, source: str, store: Path, config: DownloadConfig) -> dict[str, Any]:
    row: dict[str, Any] = {"video": video, "filename": filename, "status": "ok", "reason": ""}
    try:
        path = fetch(filename, source, store, config)
        return {**row, "bytes": path.stat().st_size, "sha256": sha256(path)}
    except FetchError as error:
        log.warning("%s: %s: %s", video, error.status, error)
        return {**row, "status": error.status, "reason": str(error)}
    except OSError as error:
        raise TspError(
            f"{store}: cannot be written ({error.strerror or error}); free space or fix the permissions"
        ) from error


def fetch(filename: str, source: str, store: Path, config: DownloadConfig) -> Path:
    """Download one raw video into the store; temporary failures are retried.

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
    if not _is_name(filename):
        raise FetchError("corrupt", f"{filename[:100]!r} is no file name")
    there = raw_path(store, filename)
    if there is not None:
        return there
    stem = feature_key(filename)
    return with_retries(
        lambda: _fetch_once(source, store, stem, config),
        config.attempts,
        lambda error, pause: log.info("%s: %s; retrying in %.0f s", source, error, pause),
    )


def _is_name(filename: str) -> bool:
    """Whether it is a plain printable name, short enough for prefixes and suffixes of temporary files."""
    if not filename or filename in (".", "..") or Path(filename).name != filename:
        return False
    return filename.isprintable() and len(filename.encode("utf-8", "replace")) <= LONGEST_NAME


def _fetch_once(source: str, store: Path, stem: str, config: DownloadConfig) -> Path:
    if not source.startswith(("http://", "https://")):
        return _copy(source, store, stem)
    path = urllib.parse.urlsplit(source).path
    if not path.lower().endswith(MEDIA_SUFFIXES):
        return _page(source, store, stem, config)
    target = store / (stem + _suffix(path))
    return fetch_file(source, target, timeout_s=config.timeout_s, bytes_per_s=config.bytes_per_s)


def _copy(source: str, store: Path, stem: str) -> Path:
    path = Path(urllib.request.url2pathname(source[7:]) if source.startswith("file://") else source)
    if not source or not path.is_file():
        raise FetchError("gone", f"no such file: {source}")
    target = store / (stem + _suffix(path.name))
    part = target.with_name(target.name + PART)
    part.unlink(missing_ok=True)
    try:
        part.hardlink_to(path)  # avoids a second copy on the same disk
    except OSError:
        try:
            shutil.copyfile(path, part)
        except PermissionError as error:
            raise FetchError("blocked", f"{path}: {error.strerror}") from error
    return part.replace(target)


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
