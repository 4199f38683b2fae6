"""Released files from their address, checked by their sum."""

import logging
import shutil
from pathlib import Path

from tsp.errors import TspError
from tsp.io.files import atomic, sha256
from tsp.io.http import FetchError, fetch_file, with_retries

log = logging.getLogger(__name__)
TIMEOUT_S = 60.0
ATTEMPTS = 5


def fetch_released(output: Path, *, url: str | None, path: str | None, digest: str | None) -> str:
    """Bring a released file to `output` and check it.

    Args:
        output: where to put it.
        url: address to fetch it from, continued where an earlier try stopped.
        path: local file instead.
        digest: first hex digits of its SHA-256; None: unchecked, with a warning.

    Returns:
        Its SHA-256.

    Raises:
        TspError: not to be had, or another file than expected.
    """
    if path is not None:
        if not Path(path).is_file():
            raise TspError(f"{path}: no such file")
        with atomic(output) as temporary:
            shutil.copyfile(path, temporary)
    else:
        assert url is not None
        address = url
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            with_retries(
                lambda: fetch_file(address, output, timeout_s=TIMEOUT_S),
                ATTEMPTS,
                lambda error, pause: log.info("%s: %s; trying again in %.0f s", url, error, pause),
            )
        except FetchError as error:
            raise TspError(f"{url}: {error}; fetch it by hand and state `path` instead of `url`") from error
    return checked_sum(output, digest, str(url or path))


def checked_sum(path: Path, digest: str | None, source: str) -> str:
    """SHA-256 of a file that came from `source`; it is deleted where it is another one than stated."""
    found = sha256(path)
    try:
        check_sum(found, digest, source)
    except TspError:
        path.unlink()
        raise
    return found


def check_sum(found: str, digest: str | None, source: str) -> None:
    """Compare the SHA-256 of what was released with the first hex digits stated; None: a warning.

    Raises:
        TspError: it is another one.
    """
    if digest is None:
        log.warning("%s: no sha256 stated, so it is not checked; found %s", source, found)
    elif not found.startswith(digest.lower()):
        raise TspError(f"{source}: SHA-256 starts with {found[:8]}, expected {digest}; the file is not the right one")
