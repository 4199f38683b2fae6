"""Real number of frames of standardised videos, and the metadata table of a subset."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from tsp.errors import TspError
from tsp.io.tables import (
    MANIFEST_COLUMNS,
    METADATA_COLUMNS,
    manifest_rows,
    read_manifest,
    whole_numbers,
    write_manifest,
    write_table,
)
from tsp.progress import progress
from tsp.video.decode import VideoReader

log = logging.getLogger(__name__)


def probe_video(path: Path) -> dict[str, float | int]:
    """Count the frames of the first video stream.

    Returns:
        `fps` average rate, `video-frames` counted, `video-duration` = frames / fps in seconds.

    Raises:
        TspError: the file is damaged, or has no frames or no frame rate.

    Differs: the released scripts use the frame count of the container, or decode every frame.
    """
    with VideoReader(path) as reader:
        frames, fps = reader.n_frames, float(reader.fps)
    if not frames:
        raise TspError(f"{path}: no frames")
    return {"video-duration": frames / fps, "fps": fps, "video-frames": frames}


def probe_shard(manifest: Path, store: Path, output: Path, workers: int) -> None:
    """Probe the usable videos of one standardise manifest; a damaged one becomes `corrupt`."""
    rows = manifest_rows(manifest)

    def row(entry: dict[str, Any]) -> dict[str, Any]:
        if entry["status"] != "ok":
            return entry
        try:
            return {**entry, **probe_video(store / entry["filename"])}
        except TspError as error:
            log.warning("%s: %s", entry["video"], error)
            return {**entry, "status": "corrupt", "reason": str(error)}

    with ThreadPoolExecutor(max(1, workers)) as pool:
        done = list(progress(pool.map(row, rows), desc="probe", total=len(rows), unit="video"))
    write_manifest(done, output)


def merge_metadata(manifests: list[Path], metadata: Path, manifest: Path, max_failed: float) -> None:
    """Merge the shards of a subset.

    Args:
        manifests: probe manifests in shard order.
        metadata: table of the usable videos to write.
        manifest: table of all videos, with status and reason, to write.
        max_failed: share of unusable videos that is accepted.

    Raises:
        TspError: more videos are unusable (the first ten are named), or all are.
    """
    rows = pd.concat([read_manifest(path) for path in manifests], ignore_index=True)
    failed = rows[rows["status"] != "ok"]
    counts = ", ".join(f"{n} {status}" for status, n in failed["status"].value_counts().items())
    if len(failed) > max_failed * len(rows) or len(failed) == len(rows):
        named = "; ".join(f"{r.video}: {r.status} ({r.reason})" for r in failed.head(10).itertuples())
        raise TspError(
            f"{len(failed)} of {len(rows)} videos cannot be used ({counts}); max_failed is {max_failed:g}."
            f" First: {named}. Raise datasets.<name>.max_failed to continue without them, or download the shard again"
            " (docs/runbook.md)"
        )
    if len(failed):
        log.warning("%d of %d videos cannot be used and are skipped: %s", len(failed), len(rows), counts)
    write_table(whole_numbers(rows[MANIFEST_COLUMNS]), manifest)
    write_table(whole_numbers(rows[rows["status"] == "ok"])[METADATA_COLUMNS], metadata)
