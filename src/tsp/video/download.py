"""Download of the raw videos of one shard: local files, plain HTTP(S) files, or video pages through yt-dlp."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.http import FetchError
from tsp.io.sources import FIRST, write_facts
from tsp.io.tables import LIST_COLUMNS, read_table, write_manifest
from tsp.progress import progress
from tsp.video.config import DownloadConfig
from tsp.video.fetching import RawFiles
from tsp.video.pages import fetch_page

log = logging.getLogger(__name__)


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
    raw = RawFiles(store, config, fetch_page)
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


def _row(video: str, filename: str, source: str, raw: RawFiles) -> dict[str, Any]:
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
