"""Options of feature extraction. The defaults are those of the paper."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Options of feature extraction; the stride is part of the name of the target."""

    batch_size: int = 32
    """Clips of a forward pass; on a CPU a batch never mixes videos, so that a resumed run gives identical features."""
    amp: Literal["off", "bf16", "fp16"] = "off"
    """Mixed precision of the forward pass; `off` reproduces the paper."""
    tf32: bool = False
    """TF32 for float32 products on a GPU: faster, 10 bits of mantissa. The paper's GPUs had none."""
    released_timestamps: bool = False
    """Shift a clip by one frame where rounding of time stamps did so in the released code."""
    tail: Literal["drop", "pad"] = "drop"
    """Frames after the last whole clip: dropped (paper), or padded to one more clip by repeating the last frame."""
    short: Literal["pad", "skip"] = "pad"
    """A video shorter than one clip: padded by repeating the last frame, or without features."""

    def __post_init__(self) -> None:
        """Reject an empty batch."""
        if self.batch_size < 1:
            raise ValueError(f"extract: batch_size is {self.batch_size}, expected at least 1")
