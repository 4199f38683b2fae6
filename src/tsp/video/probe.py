"""Real number of frames of standardised videos."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.tables import manifest_rows, write_manifest
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
