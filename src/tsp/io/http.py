"""Plain HTTP(S) files: resumable, with a reason for every failure."""

import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PART = ".part"
BLOCK = 1 << 18
USER_AGENT = "tsp-reproduction"
GONE = {404, 410}
PASSING = {408, 425, 429, 500, 502, 503, 504}


class FetchError(Exception):
    """Why a fetch failed: `status` of the manifest, reason, and seconds that the server asks to wait."""

    def __init__(self, status: str, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.status, self.wait_s = status, wait_s


def fetch_file(url: str, target: Path, *, timeout_s: float, bytes_per_s: float | None = None) -> Path:
    """Fetch a plain file, continued where an earlier try stopped.

    Args:
        url: http(s) address.
        target: file to write; an unfinished one lies beside it with `.part` behind its name.
        timeout_s: seconds without a byte before the try fails.
        bytes_per_s: limit; None: none.

    Returns:
        `target`.

    Raises:
        FetchError: why not; `transient` may be tried again.
        OSError: a fault of the machine.
    """
    part = target.with_name(target.name + PART)
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(_quoted(url), headers={"User-Agent": USER_AGENT})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            expected = _receive(answer, part, have, bytes_per_s)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part does not belong to this file, or is all of it
            part.unlink(missing_ok=True)
            raise FetchError("transient", "the server refused to continue; starting over", 0.0) from error
        raise _http_fault(error) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise FetchError("transient", f"connection failed: {getattr(error, 'reason', error)}") from error
    size = part.stat().st_size
    if expected is not None and size < expected:
        raise FetchError("transient", f"connection cut after {size} of {expected} bytes", 0.0)
    if size == 0:
        part.unlink()
        raise FetchError("corrupt", "the server sent an empty file")
    return part.replace(target)


def _receive(answer: Any, part: Path, have: int, limit: float | None) -> int | None:
    """Write the body behind what is there; returns the file's full size where the server states it."""
    # A server that states no type is asked no further; the library would take it for text/plain.
    kind = answer.headers.get_content_type() if "Content-Type" in answer.headers else ""
    if kind.startswith("text/"):
        raise FetchError("blocked", f"the server sent {kind} instead of a video")
    append = have and answer.status == 206
    length = answer.headers.get("Content-Length")
    start, received = time.monotonic(), 0
    with part.open("ab" if append else "wb") as file:
        while block := answer.read(BLOCK):
            file.write(block)
            received += len(block)
            if limit is not None:
                time.sleep(max(0.0, received / limit - (time.monotonic() - start)))
    return None if length is None else int(length) + (have if append else 0)


def _quoted(url: str) -> str:
    # Spaces, quotes and letters beyond ASCII are legal in file names but not in addresses.
    return urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def _http_fault(error: urllib.error.HTTPError) -> FetchError:
    text = f"HTTP {error.code} {error.reason}"
    if error.code in GONE:
        return FetchError("gone", text)
    if error.code in PASSING:
        wait = error.headers.get("Retry-After", "")
        return FetchError("transient", text, float(wait) if wait.isdigit() else None)
    return FetchError("private" if error.code in (401, 403) else "blocked", text)


def with_retries(attempt: Callable[[], T], attempts: int, told: Callable[[FetchError, float], None]) -> T:
    """Call `attempt` until it succeeds, again after a pause where the failure may pass.

    Args:
        attempt: raises `FetchError`.
        attempts: tries in all.
        told: called with the error and the pause in seconds before each further try.
    """
    for number in range(1, attempts + 1):
        try:
            return attempt()
        except FetchError as error:
            if error.status != "transient" or number == attempts:
                raise
            pause = min(error.wait_s if error.wait_s is not None else 2.0 ** (number - 1), 60.0)
            told(error, pause)
            time.sleep(pause)
    raise AssertionError("attempts must be at least 1")
