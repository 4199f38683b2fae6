"""Download of plain HTTP(S) files: resumable, with a reason for every failure."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PART = ".part"
BLOCK = 1 << 18
USER_AGENT = "tsp-reproduction"
GONE = {404, 410}
NO_VIDEO = {"application/json", "application/xml", "application/pdf"}
# 407 and 511: of the network of this machine; 520 to 524: of a proxy before the server.
TEMPORARY = {407, 408, 425, 429, 500, 502, 503, 504, 511, *range(520, 525)}


class FetchError(Exception):
    """A failed download: `status` of the manifest, reason, and the wait in seconds that the server requests.

    Attributes:
        may_repeat: whether a second attempt at once makes sense where the status is `transient`.
    """

    may_repeat = True

    def __init__(self, status: str, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.status, self.wait_s = status, wait_s


def fetch_file(url: str, target: Path, *, timeout_s: float, bytes_per_s: float | None = None) -> dict[str, Any]:
    """Download a plain file; an interrupted download of the same address and version is resumed.

    Args:
        url: http(s) address.
        target: file to write; an unfinished download is kept next to it as `<name>.part`, with its origin.
        timeout_s: seconds without data before the attempt fails.
        bytes_per_s: limit; None: unlimited.

    Returns:
        What the server states of the file: final `address`, `etag`, `last_modified`, `length` in bytes; None: unknown.

    Raises:
        FetchError: with status and reason; `transient` may be retried.
        OSError: an error of the machine.
    """
    part, origin = target.with_name(target.name + PART), target.with_name(f"{target.name}.from{PART}")
    begun = _origin(origin)
    if begun.get("url") != url:  # a part of another file
        part.unlink(missing_ok=True)
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(_quoted(url), headers={"User-Agent": USER_AGENT})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if begun.get("version"):
            request.add_header("If-Range", begun["version"])
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            said = _receive(answer, part, have, bytes_per_s, lambda said: _begin(origin, url, said))
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part belongs to another file, or is complete
            part.unlink(missing_ok=True)
            raise FetchError("transient", "the server refused to continue; starting over", 0.0) from error
        raise _http_error(error) from error
    except InvalidURL as error:
        raise FetchError("blocked", f"not an address that can be requested ({error})") from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise FetchError("transient", f"connection failed: {getattr(error, 'reason', error)}") from error
    except ValueError as error:  # also of a redirection; UnicodeError of a host
        raise FetchError("blocked", f"not an address that can be requested ({error})") from error
    size = part.stat().st_size
    if said["length"] is not None and size < said["length"]:
        raise FetchError("transient", f"connection cut after {size} of {said['length']} bytes", 0.0)
    origin.unlink(missing_ok=True)
    if size == 0:
        part.unlink()
        raise FetchError("corrupt", "the server sent an empty file")
    part.replace(target)
    return said


def _origin(path: Path) -> dict[str, str]:
    """Address and version of the file that a part belongs to."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def _begin(origin: Path, url: str, said: Mapping[str, Any]) -> None:
    etag = said["etag"] or ""
    # A weak tag does not promise equal bytes.
    version = (said["last_modified"] or "") if not etag or etag.startswith("W/") else etag
    origin.write_text(json.dumps({"url": url, "version": version}), encoding="ascii")


def _receive(
    answer: Any, part: Path, have: int, limit: float | None, begin: Callable[[Mapping[str, Any]], None]
) -> dict[str, Any]:
    """Append the body to `part`, or start it again; returns what the server states about the whole file."""
    # Without a Content-Type any content is accepted; the library would assume text/plain.
    kind = answer.headers.get_content_type() if "Content-Type" in answer.headers else ""
    if kind.startswith("text/") or kind in NO_VIDEO or kind.endswith(("+xml", "+json")):
        raise FetchError("blocked", f"the server sent {kind} instead of a video")
    append = bool(have) and answer.status == 206
    length = answer.headers.get("Content-Length")
    said = {
        "address": answer.geturl(),
        "etag": answer.headers.get("ETag"),
        "last_modified": answer.headers.get("Last-Modified"),
        "length": None if length is None or not length.isdecimal() else int(length) + (have if append else 0),
    }
    start, received = time.monotonic(), 0
    with part.open("ab" if append else "wb") as file:
        if not append:
            begin(said)
        while block := answer.read(BLOCK):
            file.write(block)
            received += len(block)
            if limit is not None:
                time.sleep(max(0.0, received / limit - (time.monotonic() - start)))
    return said


def _quoted(url: str) -> str:
    # Spaces, quotes and non-ASCII letters are valid in file names but not in addresses.
    return urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def _http_error(error: urllib.error.HTTPError) -> FetchError:
    text = " ".join(f"HTTP {error.code} {error.reason}".split())
    if error.code in GONE:
        return FetchError("gone", text)
    if error.code in TEMPORARY:
        wait = error.headers.get("Retry-After", "")
        return FetchError("transient", text, float(wait) if wait.isascii() and wait.isdigit() else None)
    return FetchError("private" if error.code in (401, 403) else "blocked", text)


def with_retries(attempt: Callable[[], T], attempts: int, report: Callable[[FetchError, float], None]) -> T:
    """Call `attempt` until it succeeds; temporary failures are retried after a pause.

    Args:
        attempt: raises `FetchError`.
        attempts: total number of attempts.
        report: called with the error and the pause in seconds before each retry.
    """
    for number in range(1, attempts + 1):
        try:
            return attempt()
        except FetchError as error:
            if error.status != "transient" or number == attempts or not error.may_repeat:
                raise
            pause = min(error.wait_s if error.wait_s is not None else 2.0 ** (number - 1), 60.0)
            report(error, pause)
            time.sleep(pause)
    raise AssertionError("attempts must be at least 1")
