"""Download of a video page through yt-dlp."""

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yt_dlp

from tsp.io.http import GONE, PART, TEMPORARY, FetchError
from tsp.video.binaries import ffmpeg_path
from tsp.video.config import DownloadConfig
from tsp.video.raw import media_suffix


def fetch_page(url: str, store: Path, stem: str, config: DownloadConfig) -> Path:
    """Fetch the video of a page into a folder, in this process; configuration files of yt-dlp are ignored.

    Args:
        url: address of the page.
        store: folder of the raw files.
        stem: name of the raw file, without its extension.
        config: format, cookies, limits.

    Returns:
        The raw file.

    Raises:
        FetchError: status and reason for the manifest.
        OSError: the disk is full.
    """
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
            raise page_error(error) from error
        found = [path for path in folder.iterdir() if path.stem == "video" and path.suffix != PART]
        if not found:
            raise FetchError("blocked", "yt-dlp found no video on the page")
        return found[0].replace(store / (stem + media_suffix(found[0].name)))


def page_error(error: Any) -> FetchError:
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
