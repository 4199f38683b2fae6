"""An encoder and its input format."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """An encoder and its input clips. The defaults are those of the paper (tsp.md 0, 3, 4)."""

    factory: str
    """`module:function` that builds the network: clips `[B, C, L, H, W]` to `[B, feature_dim]`."""
    clip_length: int = 16
    """Frames of a clip."""
    fps: float = 15.0
    """Frame rate of the clip, in frames per second; 16 frames at 15 fps are 16/15 s."""
    resize: tuple[int, int] = (128, 171)
    """Height and width in pixels that every frame is resized to, without preserving the aspect ratio."""
    crop: int = 112
    """Side in pixels of the square crop: random in training, central otherwise."""
    mean: tuple[float, float, float] = (0.43216, 0.394666, 0.37645)
    """Mean of the R, G and B channels in [0, 1], subtracted."""
    std: tuple[float, float, float] = (0.22803, 0.22145, 0.216989)
    """Standard deviation of the R, G and B channels, divided by."""

    def __post_init__(self) -> None:
        """Reject clips that cannot be cut."""
        if self.clip_length < 1 or self.fps <= 0:
            raise ValueError(f"encoder: clip_length {self.clip_length} at {self.fps} fps; both must be positive")
        if not 0 < self.crop <= min(self.resize):
            raise ValueError(f"encoder: crop {self.crop} does not fit into frames of {self.resize}")
