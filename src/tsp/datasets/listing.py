"""From raw annotations to the canonical annotation file and the video list of each subset."""

import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd

from tsp.datasets.config import DatasetConfig
from tsp.datasets.ground_truth import read_source, same_subset
from tsp.errors import TspError
from tsp.io.annotations import read_annotations, write_annotations
from tsp.io.tables import LIST_COLUMNS, write_table
from tsp.resolve import resolve
from tsp.types import Video

log = logging.getLogger(__name__)


def write_canonical(config: DatasetConfig, output: Path) -> None:
    """Read the raw annotations with the data set's reader and write the canonical file.

    A video without a source of its own gets the local file of `config.videos` or the address of `config.url`.
    """
    paths = [Path(p) for p in config.annotations]
    videos = read_source(resolve(config.reader), paths)
    local = _local_files(config.videos)
    write_annotations(output, [replace(v, source=_source(v, config, local)) for v in videos])
    log.info("%d videos", len(videos))


def write_list(annotations: Path, config: DatasetConfig, subset: str, output: Path) -> None:
    """Write the video list (video, filename, source) of one of our subsets.

    Raises:
        TspError: the subset has no videos.
    """
    official = config.subsets[subset].official
    videos = [v for v in read_annotations(annotations) if same_subset(v.subset, official)]
    if not videos:
        raise TspError(f"{annotations}: no video has the subset {official!r}")
    write_table(pd.DataFrame([(v.name, v.filename, v.source) for v in videos], columns=LIST_COLUMNS), output)


def _local_files(folder: str | None) -> dict[str, Path] | None:
    if folder is None:
        return None
    root = Path(folder)
    if not root.is_dir():
        raise TspError(f"datasets.videos: {folder}: no such folder")
    return {path.stem: path for path in sorted(root.rglob("*")) if path.is_file()}


def _source(video: Video, config: DatasetConfig, local: dict[str, Path] | None) -> str:
    if local is not None:
        # A missing file stays in the list: the download step records it as gone.
        return str(local.get(video.key) or local.get(video.name) or Path(str(config.videos)) / video.filename)
    return video.source or config.url.format(id=video.name, filename=video.filename)
