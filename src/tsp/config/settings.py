"""The four configuration files as plain dataclasses; `tsp.config.load` reads and `tsp.config.check` checks them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from tsp.caption.config import CaptioningConfig, SoundConfig
from tsp.datasets.config import DatasetConfig
from tsp.encoders.config import EncoderConfig
from tsp.features.config import ExtractConfig
from tsp.localise.config import RefinesConfig
from tsp.pretrain.config import RunConfig
from tsp.report.config import TableConfig
from tsp.video.config import DownloadConfig


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """What `snakemake` makes when no target is named."""

    tables: list[str] = field(default_factory=list)
    """Names of `tables:` entries; those of captions need the files of ActivityNet Captions and Java."""
    ablations: list[str] = field(default_factory=list)
    """Names of `tables:` entries that the target `ablations` makes."""
    captions: list[str] = field(default_factory=list)
    """Names of `tables:` entries that the target `captions` makes: tables of captions."""
    features: list[str] = field(default_factory=list)
    """Feature files without a table: `<run>/stride<n>/<dataset>-<subset>`."""


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """A downstream method on one data set; `runs` of a table say on which features."""

    method: str
    """Module with Config, train, infer, post_process and propose (`tsp.localise.method`)."""
    dataset: str
    """Entry of `datasets:`."""
    stride: int = 16
    """Frames at 15 fps between the features that the method reads."""
    labels: str | None = None
    """Video-level classes: a run whose action head scores the videos, or a file of class scores; null only where a
    method that refines proposals knows classes itself."""
    seeds: list[int] = field(default_factory=lambda: [0])
    """One training per seed."""
    sweep: dict[str, list[Any]] = field(default_factory=dict)
    """Options of post-processing and the values to try, for `.../seed<k>/sweep.csv`; no table needs them."""
    refines: RefinesConfig | None = None
    """Proposals that the method refines (methods with `REFINES`)."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of the method's Config that differ from its defaults."""

    def __post_init__(self) -> None:
        """Only refiners such as P-GCN predict classes."""
        if self.labels is None and self.refines is None:
            raise ValueError("labels: this key is required")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole configuration, checked."""

    preset: Literal["demo", "paper"] = "demo"
    """`demo`: the embedded miniature (adds config/demo.yaml); `paper`: ActivityNet and THUMOS14."""
    resume: Literal["refuse", "anyway"] = "refuse"
    """An interrupted training or extraction whose code, settings or inputs have changed: an error that names the
    differences, or resumed, with the differences recorded. For one call: `--config resume=anyway`."""
    build: BuildConfig
    """Targets of `all`."""
    datasets: dict[str, DatasetConfig]
    """Data sets by name."""
    encoders: dict[str, EncoderConfig]
    """Encoders by name."""
    download: DownloadConfig = field(default_factory=DownloadConfig)
    """How raw videos are fetched."""
    extract: ExtractConfig = field(default_factory=ExtractConfig)
    """How features are extracted."""
    sound: SoundConfig = field(default_factory=SoundConfig)
    """What sound features need."""
    runs: dict[str, RunConfig]
    """Pretraining runs by name, bases filled in."""
    experiments: dict[str, ExperimentConfig]
    """Downstream experiments by name."""
    captions: dict[str, CaptioningConfig] = field(default_factory=dict)
    """Dense captioning by name; `experiment` of a table's column names these too."""
    tables: dict[str, TableConfig]
    """Tables by name."""
