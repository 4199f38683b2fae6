"""Options of feature extraction. Defaults: the paper's."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """How features are extracted; the stride is part of the target's name."""

    batch_size: int = 32
    """Clips of a forward pass; a batch never mixes videos, so that an interrupted run gives the same bits."""
    amp: Literal["off", "bf16", "fp16"] = "off"
    """Mixed precision of the forward pass; off for the paper's numbers."""
    tail: Literal["drop", "pad"] = "drop"
    """Frames behind the last whole clip: dropped (paper), or one more clip in which the last frame is repeated."""
    short: Literal["pad", "skip"] = "pad"
    """A video shorter than one clip: its last frame is repeated to fill one, or it gets no features."""

    def __post_init__(self) -> None:
        """Refuse an empty batch."""
        if self.batch_size < 1:
            raise ValueError(f"extract: batch_size is {self.batch_size}, expected at least 1")
