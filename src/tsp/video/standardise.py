"""Re-encode raw videos to constant frame rate mp4. The only module that uses ffmpeg-python, as a command builder."""

import logging
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ffmpeg
import pandas as pd

from tsp.errors import TspError
from tsp.io.files import atomic, sha256
from tsp.io.tables import MANIFEST_COLUMNS, read_manifest, write_table
from tsp.progress import progress
from tsp.video.binaries import ffmpeg_path
from tsp.video.config import StandardiseConfig
from tsp.video.decode import VideoReader
from tsp.video.download import raw_path

log = logging.getLogger(__name__)


def command(source: Path, output: Path, config: StandardiseConfig) -> list[str]:
    """The ffmpeg call: filter `fps=fps=30`, first video stream, sound if there is any, all else ffmpeg's default.

    Args:
        source: raw video.
        output: mp4 to write.
        config: rate and the speed options.

    Paper: videos are re-encoded at 30 fps (released code); tsp.md 1.1.
    """
    # `file:` keeps names that begin with a dash or hold a colon from being read as options or protocols.
    stream = ffmpeg.input(f"file:{source}", probesize=config.probesize)
    video = stream["v:0"].filter("fps", fps=config.fps)
    if config.shrink is not None:
        height, width = config.shrink
        video = video.filter("scale", width, height)
        # 4:2:0 colour has even sides only.
        video = video.filter("format", "yuv444p" if height % 2 or width % 2 else "yuv420p")
    # One thread and no dates: the same input gives the same bytes.
    options: dict[str, Any] = {"threads": 1, "map_metadata": -1, "fflags": "+bitexact"}
    if config.keyframe_interval is not None:
        options |= {"g": config.keyframe_interval}
    if config.crf is not None:
        options |= {"crf": config.crf}
    built = ffmpeg.output(video, stream["a:0?"], f"file:{output}", **options).global_args("-nostdin", "-v", "error")
    return list(built.overwrite_output().compile(cmd=ffmpeg_path()))


class UnusableVideo(Exception):
    """A fault of one video, to be a row of the manifest."""


def standardise_video(source: Path, output: Path, config: StandardiseConfig) -> None:
    """Re-encode one video; an output that is there and opens is kept.

    Raises:
        UnusableVideo: why the video cannot be used.
        TspError: the disk is full or the folder cannot be written.
    """
    if _usable(output):
        return
    # Of a file cut short behind its index ffmpeg makes a shorter video and reports success.
    if (short := _cut_short(source)) is not None:
        raise UnusableVideo(short)
    with atomic(output) as temporary:
        try:
            done = subprocess.run(
                command(source, temporary, config), capture_output=True, timeout=config.timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise UnusableVideo(f"ffmpeg was stopped after {config.timeout_s:g} s") from None
        message = done.stderr.decode("utf-8", "replace").strip()
        if "No space left on device" in message:
            raise TspError(f"{output}: cannot be written (No space left on device); free space and run again")
        fault = (
            (_last_line(message) or f"ffmpeg exit status {done.returncode}") if done.returncode else _fault(temporary)
        )
        if fault:
            raise UnusableVideo(fault)


def _usable(output: Path) -> bool:
    return output.exists() and _fault(output) is None


def _check_sum(source: Path, digest: str, manifest: Path) -> None:
    if digest and sha256(source) != digest:
        raise TspError(f"{source}: not the file that {manifest} lists; delete both to fetch it again")


def _fault(path: Path) -> str | None:
    try:
        with VideoReader(path) as reader:
            return None if reader.n_frames else "no frames"
    except TspError as error:
        return str(error).removeprefix(f"{path}: ")


def _cut_short(source: Path) -> str | None:
    try:
        with VideoReader(source) as reader:
            return reader.cut_short()
    except TspError:
        return None  # ffmpeg says why


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return " ".join(lines[-1].split())[:300] if lines else ""


def standardise_shard(
    manifest: Path, raw: Path, store: Path, output: Path, config: StandardiseConfig, workers: int
) -> None:
    """Re-encode the videos of one download manifest.

    Args:
        manifest: the shard's download manifest.
        raw: folder of the raw files.
        store: folder of the standardised files; what is there and opens is kept.
        output: manifest to write: as read, with status, reason, bytes and sha256 of the standardised files.
        config: how.
        workers: videos at the same time, one ffmpeg thread each.

    Raises:
        TspError: a fault of the machine; a fault of a video is a row.
    """
    table = read_manifest(manifest)
    store.mkdir(parents=True, exist_ok=True)

    def row(values: tuple[Any, ...]) -> dict[str, Any]:
        entry = dict(zip(MANIFEST_COLUMNS, values, strict=True))
        if entry["status"] != "ok":
            return entry
        target = store / entry["filename"]
        try:
            source = raw_path(raw, entry["filename"])
            # Raw files may be deleted once they are standardised.
            if source is None and not _usable(target):
                raise UnusableVideo("the raw file is missing; download the shard again (docs/runbook.md)")
            if source is not None and not _usable(target):
                _check_sum(source, entry["sha256"], manifest)
                standardise_video(source, target, config)
        except UnusableVideo as fault:
            log.warning("%s: %s", entry["video"], fault)
            return {**entry, "status": "corrupt", "reason": str(fault), "bytes": None, "sha256": ""}
        return {**entry, "bytes": target.stat().st_size, "sha256": sha256(target)}

    rows = list(table[MANIFEST_COLUMNS].itertuples(index=False, name=None))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        done = list(progress(pool.map(row, rows), desc="standardise", total=len(rows), unit="video"))
    # Whole numbers stay whole where some are missing.
    write_table(pd.DataFrame(done, columns=MANIFEST_COLUMNS).astype({"bytes": "Int64"}), output)
