"""Download of a video page through yt-dlp."""

import importlib.util
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yt_dlp
import yt_dlp.networking.exceptions

from tsp.io.http import GONE, PART, TEMPORARY, FetchError
from tsp.video.binaries import ffmpeg_path
from tsp.video.config import DownloadConfig
from tsp.video.raw import media_suffix

# Interpreters of scripts that yt-dlp knows, and their programs.
RUNTIMES = {"deno": "deno", "node": "node", "bun": "bun", "quickjs": "qjs"}


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
            "sleep_interval_requests": config.sleep_s,
            "js_runtimes": {name: {} for name in RUNTIMES},
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
        except yt_dlp.networking.exceptions.RequestError as error:
            raise FetchError("blocked", f"not an address that can be requested ({error})") from error
        found = [path for path in folder.iterdir() if path.stem == "video" and path.suffix != PART]
        if not found:
            raise FetchError("blocked", "yt-dlp found no video on the page")
        return found[0].replace(store / (stem + media_suffix(found[0].name)))


class Blocked(FetchError):
    """The site refuses this machine, not the video; further requests make it worse."""

    may_repeat = False


# What yt-dlp reports -> status of the manifest; the first match counts. Apostrophes may be typographic.
# `stop`: the site takes this machine for a bot, or has had too many requests from it.
MESSAGES = (
    ("stop", r"not a bot|rate.?limit|too many requests|http error 429|content isn.t available, try again"),
    ("blocked", r"available (in|from) your (country|location)|blocked (it )?in your country|geo.?restrict"),
    (
        "private",
        r"private|sign in|log(ged)?.?in|members|join this channel|age.?restrict|confirm your age|registered users",
    ),
    ("transient", r"premieres? in|will begin in|live event|is offline|timed out|time-?out|try again|temporar"),
    ("transient", r"connection|nsig|challenge|unable to extract|http error (403|408|5\d\d)|server error"),
    # Of this machine, not of the video.
    ("transient", r"ff(mpeg|probe)|fragment \d+|cookies are no longer valid"),
    ("gone", r"unavailable|not found|does not exist|removed|deleted|terminated|no longer|copyright|violat|closed"),
    ("blocked", r"unsupported url|requested format is not available|drm"),
)
LOGIN = "a cookie file of an account that may watch it (download.cookies) may help"


def page_error(error: Any) -> FetchError:
    """Status of the manifest and reason for an error of yt-dlp: by the type of its cause, or else by its message.

    Only `gone`, `private` and `blocked` are permanent; what is unknown is tried again by the next run.
    """
    cause = error.exc_info[1] if error.exc_info else None
    text = " ".join(re.sub(r"\x1b\[[\d;]*m", "", str(error)).removeprefix("ERROR: ").split())[:300]
    code = getattr(cause, "status", None) or getattr(getattr(cause, "cause", None), "status", None)
    words = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    # The id of a video may contain any word.
    words = re.sub(r"^\[[\w:.+-]+\] [^\s:]+: ", "", words)
    if "no space left" in words:
        raise OSError(28, os.strerror(28))
    if fault := re.search(r"\[errno (13|30|122)\]", words):
        raise OSError(int(fault[1]), os.strerror(int(fault[1])))
    if isinstance(cause, yt_dlp.utils.GeoRestrictedError):
        return FetchError("blocked", text)
    status = next((status for status, pattern in MESSAGES if re.search(pattern, words)), "transient")
    if code == 429 or status == "stop":
        return Blocked("transient", text)
    if code in GONE or code == 451:
        return FetchError("gone" if code in GONE else "blocked", text)
    if code in TEMPORARY or isinstance(cause, yt_dlp.utils.UserNotLive | yt_dlp.networking.exceptions.TransportError):
        return FetchError("transient", text)
    return FetchError(status, f"{text}; {LOGIN}" if status == "private" else text)


def missing_runtime() -> str | None:
    """What yt-dlp lacks to read pages that run scripts, such as those of YouTube; None: it has all."""
    scripts = importlib.util.find_spec("yt_dlp_ejs") is not None
    runtime = any(shutil.which(name) for name in RUNTIMES.values())
    if scripts and runtime:
        return None
    lacking = " and ".join(name for name, there in (("yt-dlp-ejs", scripts), ("deno", runtime)) if not there)
    return f"{lacking} missing: pages that run scripts may fail; pip install 'yt-dlp[default,deno]'"
