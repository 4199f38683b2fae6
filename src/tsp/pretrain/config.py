"""Options of a pretraining run. Defaults are the paper's."""

from dataclasses import dataclass, field
from typing import Literal

from tsp.training.config import TrainerConfig

Head = Literal["action", "region"]
# The batch per GPU that the published learning rates belong to.
REFERENCE_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class PretrainTrainer(TrainerConfig):
    """The trainer with the paper's values for TSP and TAC."""

    weight_decay: float = 0.005
    """L2 weight decay on every parameter, batch norm and biases included (released code)."""
    schedule: Literal["constant", "warmup_steps"] = "warmup_steps"
    """Linear warm-up per iteration, times `gamma` at each milestone (released code)."""
    warmup_epochs: float = 2.0
    """Length of the linear warm-up, in epochs (released code)."""
    milestones: tuple[int, ...] = (4, 6)
    """Epochs, counted from 0, at whose start the rate is multiplied by `gamma` (released code)."""
    replicas: int = 2
    """Parts of a global batch, each with its own batch norm: the paper's two GPUs, on any number of devices."""
    loss_mean: Literal["global", "replica"] = "replica"
    """Mean of each replica's own mean loss (released code), or means over the global batch."""
    checkpoint_every: int | None = 500
    """Optimiser steps between checkpoints inside an epoch; null: after each epoch only."""


@dataclass(frozen=True, kw_only=True)
class ReleasedFile:
    """A released file: weights of an encoder with or without heads, or features."""

    url: str | None = None
    """Address to fetch them from."""
    path: str | None = None
    """Local file, instead of an address; for features also a folder of `<key>.pkl`, a pickled array per video."""
    sha256: str | None = None
    """First hex digits (8 or more) of its SHA-256; released names end in them; of a folder: see docs/formats."""

    def __post_init__(self) -> None:
        """Require exactly one source."""
        if (self.url is None) == (self.path is None):
            raise ValueError("state either url or path")
        if self.sha256 is not None and len(self.sha256) < 8:
            raise ValueError(f"sha256 {self.sha256!r} is shorter than 8 hex digits")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A pretraining run: TSP, its baseline TAC, released weights or features, or an untrained encoder.

    With `dataset`: trained. With `weights`: the released file, converted. With neither: weights from the seed.
    With `features`: these are fetched, and nothing is extracted.
    """

    dataset: str | None = None
    """Data set to train on; its validation subset picks the epoch."""
    encoder: str
    """Entry of `encoders:`."""
    start: str | None = None
    """Run whose encoder weights are the initial ones; null: random weights from the seed."""
    weights: ReleasedFile | None = None
    """Released weights to convert instead of training."""
    features: dict[str, ReleasedFile] = field(default_factory=dict)
    """Released features by `stride<n>/<dataset>-<subset>`: experiments use them, no video is needed."""
    classes: str | None = None
    """Data set whose labels the action head of released weights predicts; null: that head is not used."""
    heads: tuple[Head, ...] = ("action", "region")
    """Classifiers: action class (foreground clips only), temporal region (all clips). TSP: both; TAC: action."""
    loss_weights: dict[Head, float] = field(default_factory=lambda: {"action": 1.0, "region": 1.0})
    """Factors alpha of the two cross entropies (paper: 1 and 1)."""
    gvf: Literal["max", "avg"] | None = None
    """Global video feature given to the region head: pooling over time of the start run's features; null: none."""
    stem_lr: float = 0.0
    """Learning rate of the stem; 0 freezes its weights while its batch-norm statistics move (released code)."""
    backbone_lr: float = 1e-4
    """Learning rate of the residual stages, before `lr_scale`."""
    head_lr: float = 2e-3
    """Learning rate of the heads, before `lr_scale`."""
    lr_scale: Literal["none", "replicas", "batch"] = "replicas"
    """Multiply all rates by the number of replicas (released code), by (global batch / 32), or not at all."""
    clips_per_segment: int = 5
    """Clips drawn from every segment in each epoch."""
    short_segments: Literal["drop", "center"] = "drop"
    """Segments shorter than a clip: dropped as in the paper, or given the clip around their middle."""
    short_clips: Literal["repeat", "error"] = "repeat"
    """Clips that reach past the last frame: the last frame is repeated, or an error as in the released code."""
    max_missing: float = 0.0
    """Share of the videos with segments that may be missing: their segments are skipped with a warning."""
    released_timestamps: bool = False
    """Shift a clip by one frame where rounding of time stamps did so in the released code."""
    flip: float = 0.5
    """Probability that a training clip is mirrored."""
    action_column: str = "action-label"
    """Column of the segments file with the action name; empty: no action."""
    region_column: str = "temporal-region-label"
    """Column of the segments file with `Action` or `No action`."""
    cache: Literal["none", "memory"] = "none"
    """Keep decoded videos in memory as bytes: only for small sets of small videos."""
    cache_gb: float = 2.0
    """Limit of that cache in GB; larger sets are not cached."""
    open_videos: int = 8
    """Video files that each loader process keeps open."""
    track_code: Literal["cheap", "all", "none"] = "cheap"
    """What changed code, defaults or inputs do: `cheap` reports them, `all` trains again, `none` ignores code."""
    trainer: PretrainTrainer = field(default_factory=PretrainTrainer)
    """Epochs, batch, optimiser and schedule."""

    def __post_init__(self) -> None:
        """Refuse contradictory options."""
        if not self.heads or len(set(self.heads)) != len(self.heads):
            raise ValueError(f"heads: {list(self.heads)}; expected action, region, or both")
        if self.dataset and self.weights:
            raise ValueError("weights: a run with a dataset is trained; to start from released weights, use start")
        if self.features and self.dataset:
            raise ValueError("features: the features of a run with a dataset are extracted, not released")
        if self.gvf and (self.start is None or "region" not in self.heads):
            raise ValueError("gvf: needs start (whose features are pooled) and the region head")
        if self.open_videos < 1:
            raise ValueError(f"open_videos is {self.open_videos}, expected at least 1")
        if self.clips_per_segment < 1 or not 0 <= self.flip <= 1 or not 0 <= self.max_missing < 1:
            raise ValueError("clips_per_segment must be at least 1, flip a probability, max_missing a share below 1")

    @property
    def is_trained(self) -> bool:
        """Whether the run trains its encoder, rather than converting released weights or keeping the initial ones."""
        return self.dataset is not None and self.weights is None
