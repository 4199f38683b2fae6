"""Options of the shared trainer."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How a task is trained. A method subclasses it to change defaults."""

    epochs: int = 8
    """Passes over the training data."""
    batch_size: int = 32
    """Items of a batch, per replica."""
    replicas: int = 1
    """Parts of a global batch, each with its own batch norm, however many devices share them (released TSP: 2 GPUs)."""
    loss_mean: Literal["global", "replica"] = "global"
    """Losses are means over the global batch, or means of each replica's own mean, as on several GPUs as released."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum, or Adam; weight decay is the L2 kind in both."""
    momentum: float = 0.9
    """Momentum of SGD; unused by Adam."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Moment decays of Adam; unused by SGD."""
    adam_eps: float = 1e-8
    """Epsilon of Adam; unused by SGD."""
    weight_decay: float = 0.0
    """L2 weight decay of every parameter group that does not set its own."""
    schedule: Literal["constant", "warmup_steps"] = "constant"
    """Factor on every learning rate: 1, or a linear warm-up times `gamma` at each milestone."""
    warmup_epochs: float = 0.0
    """Length of the linear warm-up, in epochs; 0: none."""
    warmup_factor: float = 1e-5
    """Factor at the first iteration of the warm-up."""
    milestones: tuple[int, ...] = ()
    """Epochs, counted from 0 and ascending, at whose start the rate is multiplied by `gamma`."""
    gamma: float = 0.01
    """Factor of each milestone."""
    step_after_epoch: bool = False
    """Change the factor only between epochs, also in the warm-up."""
    grad_clip: float | None = None
    """Largest norm of all gradients together; null: no clipping."""
    accumulate: int = 1
    """Batches per optimiser step; their losses are averaged."""
    amp: Literal["off", "bf16", "fp16"] = "off"
    """Mixed precision; fp16 comes with loss scaling."""
    tf32: bool = False
    """TF32 for float32 products on a GPU: faster, 10 bits of mantissa. The paper's GPUs had none."""
    compile: bool = False
    """Compile the model with torch.compile: minutes at the start, faster afterwards on a GPU."""
    channels_last: bool = False
    """Channels-last memory format for 5-D tensors, faster on tensor cores; results change by rounding."""
    seed: int = 0
    """Seed of shuffling, initial weights, dropout and the random draws of the data set."""
    patience: int | None = None
    """Stop after this many validations without improvement; null: run all epochs."""
    checkpoint_every: int | None = None
    """Optimiser steps between checkpoints inside an epoch; null: after each epoch only."""
    keep: Literal["best", "last"] = "best"
    """Weights to return: of the epoch with the best metric, or of the last one."""
    validate_every: int = 1
    """Epochs between validations; the last epoch is always validated."""
    log_every: int = 50
    """Optimiser steps between lines of the log."""
    tensorboard: bool = False
    """Also write the logged numbers for TensorBoard (`pip install tensorboard`) to `work/tensorboard`."""

    def __post_init__(self) -> None:
        """Refuse values that would fail only during training."""
        for name in ("epochs", "batch_size", "replicas", "accumulate", "validate_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"trainer: {name} is {getattr(self, name)}, expected at least 1")
        for name in ("patience", "checkpoint_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"trainer: {name} is {getattr(self, name)}, expected at least 1 or null")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"trainer: milestones {list(self.milestones)} are not ascending epochs")
