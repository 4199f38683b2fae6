"""Options of a data set in `config/config.yaml`."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class SubsetConfig:
    """Options of a subset."""

    official: str
    """Name of the subset in the annotations (`training`, `validation`, `testing`)."""
    shards: int = 1
    """Number of shards, each processed by its own jobs; the last shard takes the remaining videos."""


@dataclass(frozen=True, kw_only=True)
class BackgroundConfig:
    """Rule that derives `No action` rows from `Action` rows (tsp.md 2.3)."""

    rule: Literal["released", "clean"] = "released"
    """`released`: gaps between consecutive actions, as in the paper's files; `clean`: the true complement."""
    min_clips: int = 5
    """Shortest gap, in clips of 16/15 s: 5 for ActivityNet, 1 for THUMOS14."""


Action = Literal["error", "drop", "keep"]


@dataclass(frozen=True, kw_only=True)
class ExamineConfig:
    """What happens to doubtful annotations; each is a row of `annotations_report.csv` in any case.

    null: `keep` where the background rule is `released`, as in the released files; otherwise the value in parentheses.
    """

    units: Action | None = None
    """Times that look like frames or milliseconds, far after the end of the video (error)."""
    reversed: Action | None = None
    """A segment that ends before it starts (error)."""
    zero_length: Action | None = None
    """A segment shorter than one frame of 1/30 s (drop)."""
    outside: Action | None = None
    """A segment that starts after the end of the video, or ends more than 1 s and 2 % after it (drop)."""
    duplicate: Action | None = None
    """A segment that occurs twice with one label (drop)."""
    overlap: Action | None = None
    """Segments of one label that overlap (keep)."""
    duration: Action | None = None
    """A stated duration that differs by more than 1 s and 2 % from that of the video (keep)."""
    subset: Action | None = None
    """A subset that is almost one of those in `subsets:`, such as `Training ` (error)."""
    label: Action | None = None
    """A label that is not in `labels:` (error)."""


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """A data set: its annotations, subsets, shards and evaluation settings."""

    reader: str
    """`module:function` that turns the raw annotations into `list[Video]`."""
    annotations: list[str] = field(default_factory=list)
    """Raw annotation files, which complete one another; empty for a generated data set."""
    generate: dict[str, Any] | None = None
    """Fields of `datasets.synthetic.SyntheticConfig` if the workflow renders the data set."""
    videos: str | None = None
    """Folder with the raw videos, named like the standardised ones; null: as stated in the annotations."""
    url: str = "https://www.youtube.com/watch?v={id}"
    """Address of a video whose annotation has none; {id}: its name, {filename}: its standardised file name."""
    subsets: dict[str, SubsetConfig]
    """Subset names used here (`train`, `valid`, `test`) and those of the annotations."""
    train: str = "train"
    """Subset on which pretraining and localisers are trained."""
    valid: str = "valid"
    """Subset on which they are evaluated."""
    shard_size: int = 100
    """Number of videos of a shard."""
    labels: list[str] | str
    """Action names in id order, or a JSON file with them."""
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    """Rule for the background rows."""
    examine: ExamineConfig = field(default_factory=ExamineConfig)
    """What happens to doubtful annotations."""
    tious: list[float] = field(
        default_factory=lambda: [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95]
    )
    """tIoU thresholds of the detection mAP; the ten official ones, the ninth as computed by the official code."""
    buckets: Literal["activitynet", "thumos14", "miniature"] = "activitynet"
    """Buckets by length, share of the video and number of instances in the error analyses."""
    max_failed: float = 0.01
    """Share of videos that may fail before the subset is rejected."""
    standardise: dict[str, Any] = field(default_factory=dict)
    """Fields of `video.config.StandardiseConfig` that differ from those of the paper."""
