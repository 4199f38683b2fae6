"""Download of the raw videos of one shard: local files, plain HTTP(S) files, or video pages through yt-dlp."""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.http import FetchError
from tsp.io.sources import FIRST, local_path, lost_before, write_facts
from tsp.io.tables import LIST_COLUMNS, read_table, write_manifest
from tsp.progress import progress
from tsp.video.config import DownloadConfig
from tsp.video.fetching import RawFiles, is_page
from tsp.video.pages import Blocked, fetch_page, missing_runtime

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
        TspError: an error of the machine (disk full, no permission), or a site that refuses this machine; an error of
            a video becomes a row. Files that are complete stay, so that the next run continues.
    """
    entries = read_table(videos, LIST_COLUMNS)[LIST_COLUMNS].to_numpy().tolist()
    store.mkdir(parents=True, exist_ok=True)
    raw = RawFiles(store, config, fetch_page)
    if any(is_page(source) for _, _, source in entries) and (lacking := missing_runtime()):
        log.warning(lacking)
    blocks: list[str] = []
    # A run that only repeats temporary failures does not ask for what is gone.
    lost = lost_before(facts) if facts is not None else {}
    with ThreadPoolExecutor(config.workers) as pool:
        done = pool.map(lambda entry: _row(entry[0], entry[1], entry[2], raw, blocks, lost), entries)
        found = list(progress(done, desc="download", total=len(entries), unit="video"))
    if blocks:
        _stop(blocks[0], found)
    write_manifest(found, output)
    if facts is not None:
        retry = any(row["status"] == "transient" for row in found)
        given = zip((source for _, _, source in entries), found, strict=True)
        lost = {s: [row["status"], row["reason"]] for s, row in given if _is_lost(s, row)}
        write_facts(facts, token, raw.sources, retry=retry, lost=lost)
    if raw.unrecorded:
        log.warning("%d raw files had no record of their source and were fetched again", len(raw.unrecorded))
    failed = [row for row in found if row["status"] != "ok"]
    if failed:
        log.warning("%d of %d videos were not downloaded; see %s", len(failed), len(found), output)


def _stop(reason: str, found: list[dict[str, Any]]) -> None:
    missing = sum(row["status"] != "ok" for row in found)
    raise TspError(
        f"the site refuses this machine ({reason}); {missing} of {len(found)} videos of this shard are not"
        " downloaded. Wait some hours, set download.sleep_s or download.cookies, then run again to continue"
    )


def _row(
    video: str, filename: str, source: str, raw: RawFiles, blocks: list[str], lost: Mapping[str, list[str]]
) -> dict[str, Any]:
    """The row of one video; once a site has refused this machine, `blocks` says so and its pages are left alone."""
    row: dict[str, Any] = {"video": video, "filename": filename, "status": "ok", "reason": ""}
    if source in lost:
        status, reason = lost[source]
        return {**row, "status": status, "reason": reason}
    if blocks and is_page(source):
        return {**row, "status": "transient"}
    try:
        found = raw.obtain(filename, source)
        return {**row, "bytes": found.bytes, "sha256": found.sha256}
    except FetchError as error:
        if isinstance(error, Blocked):
            blocks.append(str(error))
        log.warning("%s: %s: %s", video, error.status, error)
        return {**row, "status": error.status, "reason": str(error)}
    except OSError as error:
        raise TspError(
            f"{raw.store.folder}: cannot be written ({error.strerror or error}); free space or fix the permissions"
        ) from error


def _is_lost(source: str, row: Mapping[str, Any]) -> bool:
    """Whether a remote video is permanently unavailable; local files are compared by the planner."""
    return local_path(source) is None and row["status"] in ("gone", "private", "blocked")
