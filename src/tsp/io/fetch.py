"""Download of released files, verified by their checksum."""

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
    """Fetch a released file and verify its checksum.

    Args:
        output: file to write.
        url: address; an interrupted download is resumed.
        path: local file to copy instead.
        digest: first hex digits of the SHA-256; None: not verified, with a warning.

    Returns:
        Its SHA-256.

    Raises:
        TspError: not available, or another checksum.
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
                lambda error, pause: log.info("%s: %s; retrying in %.0f s", url, error, pause),
            )
        except FetchError as error:
            raise TspError(f"{url}: {error}; download it manually and set `path` instead of `url`") from error
    return verified_sha256(output, digest, str(url or path))


def verified_sha256(path: Path, digest: str | None, source: str) -> str:
    """SHA-256 of a file from `source`; the file is deleted if it does not match `digest`."""
    found = sha256(path)
    try:
        verify_sha256(found, digest, source)
    except TspError:
        path.unlink()
        raise
    return found


def verify_sha256(found: str, digest: str | None, source: str) -> None:
    """Compare a SHA-256 with the first hex digits expected; None: warn only.

    Raises:
        TspError: it differs.
    """
    if digest is None:
        log.warning("%s: no sha256 configured, not verified; found %s", source, found)
    elif not found.startswith(digest.lower()):
        raise TspError(f"{source}: SHA-256 starts with {found[:8]}, expected {digest}; this is another file")
