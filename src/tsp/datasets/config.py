"""What `config/config.yaml` says of a data set."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class SubsetConfig:
    """One subset."""

    official: str
    """Name of the subset in the annotations (`training`, `validation`, `testing`)."""
    shards: int = 1
    """Jobs that the subset is cut into; the last shard takes whatever is left over."""


@dataclass(frozen=True, kw_only=True)
class BackgroundConfig:
    """How `No action` rows are made from `Action` rows (tsp.md 2.3)."""

    rule: Literal["released", "clean"] = "released"
    """`released`: gaps between consecutive actions, as in the paper's files; `clean`: true complement."""
    min_clips: int = 5
    """Shortest gap, in clips of 16/15 s: 5 for ActivityNet, 1 for THUMOS14."""


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """A data set: where its annotations are, how it is cut and read."""

    reader: str
    """`module:function` that turns the raw annotations into `list[Video]`."""
    annotations: list[str] = field(default_factory=list)
    """Raw annotation files; empty for a generated data set."""
    generate: dict[str, Any] | None = None
    """Fields of `datasets.synthetic.SyntheticConfig`, when the data set is rendered by the workflow."""
    videos: str | None = None
    """Folder with the raw videos, named like the standardised ones; null: as the annotations say."""
    url: str = "https://www.youtube.com/watch?v={id}"
    """Address of a video that states none of its own; {id}: its name, {filename}: the mp4 name."""
    subsets: dict[str, SubsetConfig]
    """Our subset names (`train`, `valid`, `test`) and what the annotations call them."""
    train: str = "train"
    """Subset that pretraining and localisers learn from."""
    valid: str = "valid"
    """Subset that they are measured on."""
    shard_size: int = 100
    """Videos of a shard."""
    labels: list[str] | str
    """Action names in id order, or the JSON file that holds them."""
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    """Rule of the background rows."""
    tious: list[float] = field(
        default_factory=lambda: [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95]
    )
    """tIoU thresholds of the detection mAP; the official ten, the ninth as the official code computes it."""
    buckets: Literal["activitynet", "thumos14", "miniature"] = "activitynet"
    """Buckets by length, share of the video and number of instances in the error analyses."""
    max_failed: float = 0.01
    """Share of videos that may fail before the subset is refused."""
    standardise: dict[str, Any] = field(default_factory=dict)
    """Fields of `video.config.StandardiseConfig` that differ from the paper's."""
