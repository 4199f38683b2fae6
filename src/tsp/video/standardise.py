"""Re-encoding of raw videos to mp4 with constant frame rate; ffmpeg-python builds the command."""

import logging
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ffmpeg

from tsp.errors import TspError
from tsp.io.files import atomic, sha256
from tsp.io.tables import manifest_rows, write_manifest
from tsp.progress import progress
from tsp.video.binaries import ffmpeg_path
from tsp.video.config import StandardiseConfig
from tsp.video.decode import VideoReader
from tsp.video.raw import raw_path

log = logging.getLogger(__name__)


def command(source: Path, output: Path, config: StandardiseConfig) -> list[str]:
    """The ffmpeg command: filter `fps=fps=30`, first video stream, audio if any, otherwise the defaults of ffmpeg.

    Args:
        source: raw video.
        output: mp4 to write.
        config: frame rate and speed options.

    Paper: videos are re-encoded at 30 fps (released code); tsp.md 1.1.
    """
    # `file:` keeps names with a leading dash or a colon from being parsed as options or protocols.
    stream = ffmpeg.input(f"file:{source}", probesize=config.probesize)
    video = stream["v:0"].filter("fps", fps=config.fps)
    if config.shrink is not None:
        height, width = config.shrink
        video = video.filter("scale", width, height)
        # 4:2:0 colour requires even sides.
        video = video.filter("format", "yuv444p" if height % 2 or width % 2 else "yuv420p")
    # One thread and no dates, so that equal inputs give equal frames and samples; how ffmpeg interleaves them varies.
    options: dict[str, Any] = {"threads": 1, "map_metadata": -1, "fflags": "+bitexact"}
    if config.keyframe_interval is not None:
        options |= {"g": config.keyframe_interval}
    if config.crf is not None:
        options |= {"crf": config.crf}
    built = ffmpeg.output(video, stream["a:0?"], f"file:{output}", **options).global_args("-nostdin", "-v", "error")
    return list(built.overwrite_output().compile(cmd=ffmpeg_path()))


class UnusableVideo(Exception):
    """Why one video cannot be used; becomes a row of the manifest."""


def standardise_video(source: Path, output: Path, config: StandardiseConfig) -> None:
    """Re-encode one video; an existing output that can be opened is kept.

    Raises:
        UnusableVideo: the video cannot be used.
        TspError: the disk is full or the folder is not writable.
    """
    if _usable(output):
        return
    # Of a file that is truncated after its index, ffmpeg makes a shorter video and reports success.
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
        reason = (
            (_last_line(message) or f"ffmpeg exit status {done.returncode}") if done.returncode else _defect(temporary)
        )
        if reason:
            raise UnusableVideo(reason)


def _usable(output: Path) -> bool:
    return output.exists() and _defect(output) is None


def _verify(source: Path, digest: str, manifest: Path) -> None:
    if digest and sha256(source) != digest:
        raise TspError(f"{source}: not the file listed in {manifest}; delete both to download it again")


def _defect(path: Path) -> str | None:
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
        return None  # ffmpeg reports the reason


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
        store: folder of the standardised files; existing files that can be opened are kept.
        output: manifest to write: as read, with status, reason, bytes and sha256 of the standardised files.
        config: options.
        workers: videos in parallel, one ffmpeg thread each.

    Raises:
        TspError: an error of the machine; an error of a video becomes a row.
    """
    rows = manifest_rows(manifest)
    store.mkdir(parents=True, exist_ok=True)

    def row(entry: dict[str, Any]) -> dict[str, Any]:
        if entry["status"] != "ok":
            return entry
        target = store / entry["filename"]
        try:
            source = raw_path(raw, entry["filename"])
            # Raw files may be deleted after standardisation.
            if source is None and not _usable(target):
                raise UnusableVideo("the raw file is missing; download the shard again (docs/runbook.md)")
            if source is not None and not _usable(target):
                _verify(source, entry["sha256"], manifest)
                standardise_video(source, target, config)
        except UnusableVideo as error:
            log.warning("%s: %s", entry["video"], error)
            return {**entry, "status": "corrupt", "reason": str(error), "bytes": None, "sha256": ""}
        return {**entry, "bytes": target.stat().st_size, "sha256": sha256(target)}

    with ThreadPoolExecutor(max(1, workers)) as pool:
        done = list(progress(pool.map(row, rows), desc="standardise", total=len(rows), unit="video"))
    write_manifest(done, output)
