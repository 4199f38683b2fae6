"""Options of P-GCN."""

from dataclasses import dataclass, field
from typing import Literal

from tsp.localise.pgcn.pooling import Rule
from tsp.localise.pgcn.proposal_types import EmptyPool, Lengths, TypeRules
from tsp.training.config import TrainerConfig


@dataclass(frozen=True, kw_only=True)
class PgcnTrainer(TrainerConfig):
    """The trainer with P-GCN's values."""

    epochs: int = 70
    """Passes over the training videos, each repeated `multiplier` times."""
    batch_size: int = 32
    """Videos of a batch; the last, smaller batch of an epoch is dropped."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """L2 weight decay of weights; biases have none."""
    schedule: Literal["constant", "warmup_steps"] = "warmup_steps"
    """Multiply the rate by `gamma` at each milestone, no warm-up."""
    milestones: tuple[int, ...] = (15, 30, 45)
    """Epochs from which the rate is multiplied by `gamma`."""
    gamma: float = 0.1
    """Factor of a milestone."""
    keep: Literal["best", "last"] = "last"
    """Weights to save; `best` needs a `watch` other than `none`."""
    validate_every: int = 5
    """Epochs between validations."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of P-GCN. Defaults: THUMOS14 with TSP features, errors of the released code fixed.

    The released code: ticks released, target_lengths plus_one, empty_pool foreground, neighbours sampled, watch valid
    with keep best, seed 777. ActivityNet: pooling rescaled, multiplier 5, top 100, nms_threshold 0.4, types
    {incomplete_below: 0.6, incomplete_overlap: 0, background_below: 0.1, background_coverage: 0}.
    """

    pooling: Rule = "windows"
    """Units of the features: I3D's windows of 64 frames (THUMOS14); even shares (ActivityNet); the clips' own time."""
    resample: bool = True
    """Interpolate along time to the number of units that the rule expects; unused by the rule `time`."""
    length: int = 100
    """Units of the rule `rescaled`."""
    ticks: Literal["shared", "released"] = "shared"
    """Frames that are pooled: one rule in whole numbers, or the two released ones of training and inference."""
    context: tuple[float, float] = (0.5, 0.5)
    """Context pooled before and after a proposal, in its lengths."""
    cache: Literal["float32", "float16"] = "float32"
    """Pooled training features in memory; half precision halves 6 D bytes x proposals (D = 512: 3 KB each)."""
    list_fps: float | None = None
    """Frame rate of lists that state a frame count only; null: computed from the annotation's duration."""
    normalised_lists: bool = False
    """Times of the lists are in units of the video's length."""
    types: TypeRules = field(default_factory=TypeRules)
    """Bounds of foreground, incomplete and background."""
    roots: tuple[int, int, int] = (1, 6, 1)
    """Foreground, incomplete and background proposals drawn of a video."""
    empty_pool: EmptyPool = "mask"
    """A type that a video lacks: masked in all losses, or replaced by foreground (released)."""
    target_lengths: Lengths = "plain"
    """Lengths in regression targets: end - start as in decoding, or end - start + 1 (released)."""
    training_graph: Literal["pools", "all"] = "pools"
    """Nodes in training: proposals of the three types (released), or all proposals as at inference."""
    context_tiou: float = 0.7
    """Neighbours above this tIoU are contextual."""
    children: int = 4
    """Neighbours drawn of each node in training."""
    neighbours: Literal["all", "sampled"] = "all"
    """At inference: all ten slots, without randomness; or `children` drawn ones (released)."""
    hidden: int = 512
    """Width between the two graph layers."""
    graph_dropout: float = 0.7
    """Dropout between the graph layers."""
    dropout: float = 0.8
    """Dropout before the activity classifier."""
    hard_negatives: float = 0.17
    """Share of the incomplete proposals of a video that count in the completeness loss, at least one."""
    completeness_weight: float = 0.5
    """Factor of the completeness loss."""
    regression_weight: float = 0.5
    """Factor of the regression loss."""
    lr: float = 0.01
    """Learning rate of weights; that of biases is twice as large."""
    multiplier: int = 20
    """Times that an epoch contains each video: 20 for THUMOS14, 5 for ActivityNet."""
    watch: Literal["none", "held_out", "valid"] = "none"
    """Validation loss: none; on held-out training videos; on the test list (released)."""
    held_out: float = 0.1
    """Share of the training videos that `watch: held_out` excludes from training."""
    top: int | None = 2000
    """Best pairs of proposal and class kept per video: 2000 for THUMOS14, 100 for ActivityNet; null: all."""
    nms_threshold: float | None = 0.35
    """tIoU above which the lower-scored is dropped: 0.35 one stream, 0.32 two, 0.4 ActivityNet; null: no NMS."""
    nms: Literal["before", "after"] = "before"
    """NMS on the proposals' own segments (released), or on the refined ones."""
    video_classes: int | None = None
    """Keep only this many best classes of the video and multiply by their scores; null: P-GCN's classes (THUMOS14)."""
    trainer: PgcnTrainer = field(default_factory=PgcnTrainer)
    """Epochs, batch, optimiser, schedule."""

    def __post_init__(self) -> None:
        """Reject impossible samples and graphs."""
        if min(self.roots) < 0 or self.roots[0] < 1:
            raise ValueError(f"roots {list(self.roots)}: expected at least 1 foreground, none negative")
        if not 1 <= self.children <= 10:
            raise ValueError(f"children {self.children}: expected 1 to 10, the slots of a node")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out {self.held_out}: expected between 0 and 1")
        if self.trainer.keep == "best" and self.watch == "none":
            raise ValueError("trainer.keep best: needs watch held_out or valid")
        if self.multiplier < 1 or self.length < 2:
            raise ValueError("multiplier must be at least 1, length at least 2")
