"""Local files that videos come from, as the planner sees them: are they those of the last download?

The download step of a shard records its local sources in `sources.<shard>.json`, beside the records of its store. The
planner compares size and modification time, and reads a file again only where these differ.
"""

import hashlib
import json
import logging
import re
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import write_json
from tsp.io.store import RECORDS, Content, content

log = logging.getLogger(__name__)
FIRST = "first"
# Hashing waits for the disk; the hash itself runs outside Python's lock.
READERS = 4


def facts_path(store: Path, shard: str) -> Path:
    """Where the download of a shard records its local sources."""
    return store / RECORDS / f"sources.{shard}.json"


def local_path(source: str) -> Path | None:
    """The path of a local source, given as a path or as a `file://` address; None: it is remote or empty."""
    if not source or is_remote(source):
        return None
    return Path(urllib.request.url2pathname(source[7:]) if scheme(source) == "file" else source)


def scheme(source: str) -> str:
    """What precedes `://`, in lower case; empty for a path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", source)
    return found[1].lower() if found else ""


def is_remote(source: str) -> bool:
    """Whether a source is an address that is requested."""
    return scheme(source) in ("http", "https")


def source_content(source: str, known: Content | None = None) -> Content | None:
    """Content of a local source; None: no such file, or not readable."""
    path = local_path(source)
    try:
        return None if path is None else content(path, known)
    except OSError:
        return None


def write_facts(
    facts: Path,
    token: str,
    sources: Mapping[str, Content | None],
    *,
    retry: bool = False,
    lost: Mapping[str, list[str]] | None = None,
) -> None:
    """Record the local sources of a shard, and what its remote ones answered.

    Args:
        facts: file to write.
        token: the planner's token of the job that read them (`shard_token`).
        sources: content by source; None: missing.
        retry: whether a video failed for a temporary reason, so that the next run asks again.
        lost: status and reason of the remote sources that are permanently unavailable.
    """
    found = {source: None if c is None else vars(c) for source, c in sources.items()}
    write_json(facts, {"token": token, "sources": found, "retry": retry, "lost": lost or {}}, indent=None)


def lost_before(facts: Path) -> dict[str, list[str]]:
    """The permanently unavailable sources, where the last run is repeated for temporary failures only."""
    try:
        read = json.loads(facts.read_bytes())
        return dict(read["lost"]) if read["retry"] else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def shard_token(list_csv: Path, facts: Path) -> str:
    """A word that changes when, and only when, a local source of a shard has changed or a video is to be tried again.

    Args:
        list_csv: video list of the shard.
        facts: what its last download recorded; dates that have changed are updated in it.

    Returns:
        The recorded token while all sources are as recorded; otherwise a digest of what they are now. `first` before
        the first download.
    """
    read = _read(facts) if list_csv.is_file() else None
    if read is None:
        return FIRST
    token, recorded, retry = read
    if retry:
        return hashlib.sha256(f"{token} again".encode()).hexdigest()[:12]
    # A plain loop: 20,000 files take a few hundredths of a second.
    changed = [source for source, known in recorded.items() if not _same_date(source, known)]
    if not changed:
        return token
    if any(recorded[source] is not None for source in changed):
        log.warning("%d sources have another date than at their download; comparing their content", len(changed))
    with ThreadPoolExecutor(READERS) as pool:
        found = dict(zip(changed, pool.map(source_content, changed), strict=True))
    now = recorded | found
    if _digests(now) != _digests(recorded):
        return hashlib.sha256(json.dumps(_digests(now)).encode()).hexdigest()[:12]
    try:
        write_facts(facts, token, now)
    except TspError as error:
        log.warning("%s", error)  # planning needs no permission to write
    return token


def _read(facts: Path) -> tuple[str, dict[str, Content | None], bool] | None:
    try:
        read = json.loads(facts.read_bytes())
        sources = {s: None if known is None else Content(**known) for s, known in read["sources"].items()}
        return str(read["token"]), sources, bool(read.get("retry", False))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _same_date(source: str, known: Content | None) -> bool:
    try:
        found = (local_path(source) or Path(source)).stat()
    except (OSError, ValueError):
        return known is None
    return known is not None and (found.st_size, found.st_mtime_ns) == (known.bytes, known.mtime_ns)


def _digests(sources: Mapping[str, Content | None]) -> dict[str, Any]:
    return {source: None if c is None else c.sha256 for source, c in sources.items()}
