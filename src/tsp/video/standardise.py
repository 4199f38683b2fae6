"""Re-encoding of raw videos to mp4 with constant frame rate; ffmpeg-python builds the command."""

import logging
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ffmpeg

from tsp.errors import TspError
from tsp.io.files import atomic, sha256
from tsp.io.http import FetchError
from tsp.io.store import RECORDS, Store
from tsp.io.tables import manifest_rows, write_manifest
from tsp.progress import progress
from tsp.video.binaries import ffmpeg_path, ffmpeg_version
from tsp.video.config import DownloadConfig, StandardiseConfig
from tsp.video.decode import VideoReader
from tsp.video.fetching import NeedsDownloader, fetch_again
from tsp.video.raw import raw_names, raw_path

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
    # Equal inputs give equal bytes: one thread, no dates, and no time limit for the interleaving of sound and picture,
    # which since ffmpeg 7 otherwise depends on which of their threads is ahead.
    options: dict[str, Any] = {"threads": 1, "map_metadata": -1, "fflags": "+bitexact", "max_interleave_delta": 0}
    if config.keyframe_interval is not None:
        options |= {"g": config.keyframe_interval}
    if config.crf is not None:
        options |= {"crf": config.crf}
    built = ffmpeg.output(video, stream["a:0?"], f"file:{output}", **options).global_args("-nostdin", "-v", "error")
    return list(built.overwrite_output().compile(cmd=ffmpeg_path()))


class UnusableVideo(Exception):
    """Why one video cannot be used; becomes a row of the manifest."""


def standardise_video(source: Path, output: Path, config: StandardiseConfig) -> None:
    """Re-encode one video; the same input gives the same bytes with the same ffmpeg.

    Raises:
        UnusableVideo: the video cannot be used.
        TspError: the disk is full or the folder is not writable.
    """
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
    manifest: Path,
    raw: Path,
    store: Path,
    output: Path,
    config: StandardiseConfig,
    workers: int,
    *,
    download: DownloadConfig | None = None,
    code: str = "",
    encoding: str = "",
) -> None:
    """Re-encode the videos of one download manifest; a file is kept only if it would be made the same way now.

    Args:
        manifest: the shard's download manifest.
        raw: folder of the raw files.
        store: folder of the standardised files.
        output: manifest to write: as read, with status, reason, bytes and sha256 of the standardised files.
        config: options.
        workers: videos in parallel, one ffmpeg thread each.
        download: how a deleted raw file is fetched again, and whether raw files are kept.
        code: digest of the code of this step; files of other code are checked again.
        encoding: digest of the code that encodes; files of another one are encoded again.

    Raises:
        TspError: an error of the machine; an error of a video becomes a row.
    """
    rows = manifest_rows(manifest)
    store.mkdir(parents=True, exist_ok=True)
    made_by = {"ffmpeg": ffmpeg_version(), "encoding": encoding, "code": code}
    videos = _Videos(raw, store, config, download or DownloadConfig(), made_by)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        done = pool.map(lambda entry: videos.row(entry, manifest), rows)
        found = list(progress(done, desc="standardise", total=len(rows), unit="video"))
    for reason, n in Counter(videos.remade).items():
        log.info("%d videos re-encoded: %s", n, reason)
    if any(row["status"] == "ok" for row in found):
        _report_encoders(videos.store, ffmpeg_version())
    if videos.waiting:
        raise TspError(
            f"{len(videos.waiting)} raw files of video pages were deleted and are needed again, first"
            f" {videos.waiting[0]}; run: snakemake --force --cores 1 -- {manifest}"
        )
    write_manifest(found, output)


def _report_encoders(store: Store, version: str) -> None:
    """Warn if the files of a store were made with several versions of ffmpeg: other shards may be older."""
    note = store.folder / RECORDS / "ffmpeg"
    seen = set(note.read_text(encoding="utf-8").splitlines()) if note.is_file() else set()
    counts = {version: 0}
    if seen - {version}:
        # Reading every record is slow, so it is done only after a change of the version.
        counts = Counter(str((store.recorded(name) or {}).get("ffmpeg")) for name in store.names())
    if set(counts) != seen:
        with atomic(note) as temporary:
            temporary.write_text("\n".join(counts) + "\n", encoding="utf-8")
    if len(counts) > 1:
        versions = ", ".join(f"{one}: {n}" for one, n in sorted(counts.items()))
        log.warning(
            "%s: videos of several versions of ffmpeg (%s); `snakemake --forcerun standardise` encodes all again",
            store.folder,
            versions,
        )


class _Videos:
    """The standardised files of a store and what each was made of."""

    def __init__(
        self, raw: Path, store: Path, config: StandardiseConfig, download: DownloadConfig, made_by: dict[str, str]
    ) -> None:
        self.raw, self.store = Store(raw), Store(store)
        self.config, self.download = config, download
        # The command states every option that decides the content, so `timeout_s` is no part of the identity.
        words = command(Path("raw"), Path("video"), config)[1:]
        self.made_by = {"command": words, **made_by}
        self.remade: list[str] = []
        """Why files that existed were encoded again."""
        self.waiting: list[str] = []
        """Videos whose raw file this environment cannot fetch."""

    def row(self, entry: dict[str, Any], manifest: Path) -> dict[str, Any]:
        """The row of a video in the new manifest; its file is made unless it is current."""
        if entry["status"] != "ok":
            return entry
        name = entry["filename"]
        try:
            if not self._is_current(name, entry["sha256"]):
                self._make(name, entry["sha256"], manifest)
            found = self.store.content(name)
            assert found is not None
        except NeedsDownloader:
            self.waiting.append(entry["video"])
            return entry
        except (UnusableVideo, FetchError) as error:
            self.store.remove(name)
            log.warning("%s: %s", entry["video"], error)
            status = error.status if isinstance(error, FetchError) else "corrupt"
            return {**entry, "status": status, "reason": str(error), "bytes": None, "sha256": ""}
        source = raw_path(self.raw.folder, name)
        if source is not None and not self.download.keep_raw:
            source.unlink()  # its record stays
        return {**entry, "bytes": found.bytes, "sha256": found.sha256}

    def _identity(self, name: str, digest: str) -> dict[str, Any]:
        """What the file of a video would be made of now; ffmpeg detects formats by extension, too."""
        source = raw_path(self.raw.folder, name)
        names = [source.name] if source else [n for n in raw_names(name) if self.raw.recorded(n) is not None]
        recorded = self.store.recorded(name) or {}
        extension = Path(names[0]).suffix if names else recorded.get("extension", "")
        return {"raw": digest, "extension": extension, **self.made_by}

    def _is_current(self, name: str, digest: str) -> bool:
        wanted, recorded = self._identity(name, digest), self.store.recorded(name)
        if not self.store.path(name).exists():
            return False
        if recorded is None:
            self.remade.append("no record of what they were made of")
            return False
        changed = [key for key, value in wanted.items() if recorded.get(key) != value]
        if set(changed) - {"code"}:
            versions = f"ffmpeg {recorded.get('ffmpeg')} -> {wanted['ffmpeg']}"
            words = {"raw": "other raw file", "extension": "other extension", "command": "other options"}
            words |= {"encoding": "other code"}
            self.remade.append(", ".join((words | {"ffmpeg": versions})[key] for key in changed if key != "code"))
            return False
        if not self.store.is_current(name, recorded):
            self.remade.append("damaged")
            return False
        if changed:
            # Other code judges the same bytes: it may refuse them, but would encode them the same way.
            source = raw_path(self.raw.folder, name)
            if source is not None and (short := _cut_short(source)) is not None:
                raise UnusableVideo(short)
            if (reason := _defect(self.store.path(name))) is not None:
                raise UnusableVideo(reason)
            self.store.record(name, wanted, known=self.store.recorded_content(name))
        return True

    def _make(self, name: str, digest: str, manifest: Path) -> None:
        source = raw_path(self.raw.folder, name)
        if source is None:
            source = fetch_again(name, self.raw.folder, digest, self.download)
        # Read in full: damage may leave size and date as they were, and encoding takes far longer.
        if digest and sha256(source) != digest:
            raise TspError(f"{source}: not the file listed in {manifest}; delete both to download it again")
        standardise_video(source, self.store.path(name), self.config)
        self.store.record(name, self._identity(name, digest))
