"""The standardised videos of one shard: each is kept only if it would be made the same way now."""

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import atomic, sha256
from tsp.io.http import FetchError
from tsp.io.store import RECORDS, Store
from tsp.io.tables import manifest_rows, write_manifest
from tsp.progress import progress
from tsp.video.binaries import ffmpeg_version
from tsp.video.config import DownloadConfig, StandardiseConfig
from tsp.video.encode import Facts, UnusableVideo, command, defect, standardise_video
from tsp.video.fetching import NeedsDownloader, fetch_again
from tsp.video.raw import raw_names, raw_path

log = logging.getLogger(__name__)


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
        # The command states every option that decides the bytes: not `timeout_s` and `max_damaged`.
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
        facts = Facts(**self.store.notes(name))
        if facts.notes:
            log.warning("%s: %s", entry["video"], facts.notes)
        return {**entry, "bytes": found.bytes, "sha256": found.sha256, **facts.row()}

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
            if (reason := defect(self.store.path(name))) is not None:
                raise UnusableVideo(reason)
            self.store.record(name, wanted, notes=self.store.notes(name), known=self.store.recorded_content(name))
        Facts(**self.store.notes(name)).check(self.config)
        return True

    def _make(self, name: str, digest: str, manifest: Path) -> None:
        source = raw_path(self.raw.folder, name)
        if source is None:
            source = fetch_again(name, self.raw.folder, digest, self.download)
        # Read in full: damage may leave size and date as they were, and encoding takes far longer.
        if digest and sha256(source) != digest:
            raise TspError(f"{source}: not the file listed in {manifest}; delete both to download it again")
        facts = standardise_video(source, self.store.path(name), self.config)
        self.store.record(name, self._identity(name, digest), notes=vars(facts))
