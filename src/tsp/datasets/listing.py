"""From raw annotations to the canonical annotation file and the video list of each subset."""

import functools
import hashlib
import logging
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from tsp.datasets.examine import Policy, durations, examine, refuse
from tsp.datasets.ground_truth import read_source, same_subset, subset_names
from tsp.errors import TspError
from tsp.io.annotations import write_annotations
from tsp.io.tables import LIST_COLUMNS, write_table
from tsp.resolve import resolve
from tsp.types import Video
from tsp.video.raw import only_one, videos_below
from tsp.video.shards import shard_rows

log = logging.getLogger(__name__)
FINDING_COLUMNS = ["video", "finding", "value", "action"]


def write_canonical(
    reader: str, annotations: list[str], videos: str | None, url: str, output: Path, *, policy: Policy | None = None
) -> None:
    """Read the raw annotations with the data set's reader, examine them and write the canonical file.

    Args:
        reader: `module:function`.
        annotations: the raw files.
        videos: folder of the raw videos; None: the source is from the annotations, or else from `url`.
        url: address with `{id}` or `{filename}` for a video without a source.
        output: the canonical annotation file.
        policy: what happens to doubtful annotations; None: they are not examined.

    Raises:
        TspError: unreadable, or doubtful annotations that the policy does not accept.
    """
    found = _read(reader, annotations, videos, url)
    if policy is not None:
        found, findings = examine(found, policy)
        refuse(findings, ", ".join(annotations))
    write_annotations(output, found)
    log.info("%d videos", len(found))


def write_report(reader: str, annotations: list[str], metadata: Sequence[Path], output: Path, policy: Policy) -> None:
    """Write all findings of a data set.

    Args:
        reader: `module:function`.
        annotations: the raw files.
        metadata: tables of the standardised videos, where there are any.
        output: CSV with video, finding, value and action.
        policy: what is examined, and what follows.
    """
    videos = read_source(resolve(reader), [Path(p) for p in annotations])
    _, findings = examine(videos, policy, durations(metadata))
    # The step `annotations` judges by stated durations, and what it drops never reaches the others.
    reported = {(f.video, f.finding, f.segment) for f in findings}
    _, early = examine(videos, policy)
    findings += [f for f in early if f.action != "keep" and (f.video, f.finding, f.segment) not in reported]
    write_table(
        pd.DataFrame([[f.video, f.finding, f.value, f.action] for f in findings], columns=FINDING_COLUMNS), output
    )
    counts = ", ".join(f"{n} {kind}" for kind, n in Counter(f.finding for f in findings).items())
    log.info("%d videos: %s", len(videos), counts or "nothing doubtful")


def write_list(
    reader: str,
    annotations: list[str],
    videos: str | None,
    url: str,
    output: Path,
    *,
    official: str,
    shard: int,
    shards: int,
    shard_size: int,
) -> None:
    """Write the video list (video, filename, source) of one shard.

    Args:
        reader, annotations, videos, url: as in `write_canonical`.
        output: the list.
        official: name of the subset in the annotations.
        shard, shards, shard_size: select its rows (`shard_rows`).

    Raises:
        TspError: the subset has no videos.
    """
    annotated = _read(reader, annotations, videos, url)
    found = [v for v in annotated if same_subset(v.subset, official)]
    if not found:
        raise TspError(
            f"{', '.join(annotations)}: no video has the subset {official!r}; there are {subset_names(annotated)}"
        )
    rows = shard_rows(len(found), shard, shards, shard_size)
    entries = [(v.name, v.filename, v.source) for v in found[rows.start : rows.stop]]
    write_table(pd.DataFrame(entries, columns=LIST_COLUMNS), output)


def _read(reader: str, annotations: list[str], videos: str | None, url: str) -> list[Video]:
    found = read_source(resolve(reader), [Path(p) for p in annotations])
    local = _local_files(videos)
    return [replace(v, source=_source(v, videos, url, local)) for v in found]


@functools.cache
def shard_digests(
    reader: str,
    annotations: tuple[str, ...],
    official: str,
    shards: int,
    shard_size: int,
    *,
    videos: str | None = None,
    url: str = "",
) -> tuple[str, ...]:
    """Digest of the rows of each shard of a subset, computed from the raw annotations and the folder of videos.

    Args:
        reader, annotations, videos, url: as in `write_canonical`.
        official: name of the subset in the annotations.
        shards, shard_size: how the subset is divided (`shard_rows`).

    Returns:
        One digest per shard; none if the annotations cannot be read: the step that reads them reports that error.
    """
    try:
        found = _located(reader, annotations, videos, url)
    except TspError:
        return ()
    rows = [(v.name, v.filename, v.source) for v in found if same_subset(v.subset, official)]
    parts = [shard_rows(len(rows), shard, shards, shard_size) for shard in range(shards)]
    return tuple(_digest(repr(rows[p.start : p.stop])) for p in parts)


@functools.cache
def canonical_digest(reader: str, annotations: tuple[str, ...], videos: str | None = None, url: str = "") -> str:
    """Digest of what `write_canonical` would write; `unknown` if the annotations cannot be read.

    A directory as annotation has no content of its own, and a file added below `videos` changes no annotation file.
    """
    try:
        return _digest(repr(_located(reader, annotations, videos, url)))
    except TspError:
        return "unknown"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@functools.cache
def _located(reader: str, annotations: tuple[str, ...], videos: str | None, url: str) -> list[Video]:
    found, local = _annotated(reader, annotations), _local_files(videos)
    return [replace(v, source=_source(v, videos, url, local)) for v in found]


@functools.cache
def _annotated(reader: str, annotations: tuple[str, ...]) -> list[Video]:
    """Cached: planning requests several subsets of the same files."""
    return read_source(resolve(reader), [Path(path) for path in annotations])


@functools.cache
def _local_files(folder: str | None) -> dict[str, list[Path]] | None:
    """The videos of a folder by their stem; cached, since the subsets of a data set share the folder."""
    if folder is None:
        return None
    if not Path(folder).is_dir():
        raise TspError(f"datasets.videos: {folder}: no such folder")
    return videos_below(folder)


def _source(video: Video, folder: str | None, url: str, local: dict[str, list[Path]] | None) -> str:
    if folder is not None and local is not None:
        # A missing file stays in the list; the download step records it as gone.
        keys = (unicodedata.normalize("NFC", name) for name in (video.key, video.name))
        found = next((local[key] for key in keys if key in local), [])
        return str(only_one(found) or Path(folder) / video.filename)
    return video.source or url.format(id=video.name, filename=video.filename)
