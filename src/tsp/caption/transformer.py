"""The bi-modal encoder and the layers that it shares with the decoder.

B batch, T features of a stream (each has its own length), C its width, H heads. Masks are True at features.
"""

import torch
from torch import Tensor, nn

from tsp.caption.config import CaptionerConfig
from tsp.errors import TspError

KeysValues = tuple[Tensor, Tensor]
POSITIONS = 3660


def position_code(length: int, width: int) -> Tensor:
    """`[length, width]`: sines in even, cosines in odd dimensions.

    Paper: BMT section 3 (as the original Transformer's).
    Differs: as in the released code, a cosine has the wavelength of its own dimension, not of the sine before it.
    """
    angle = torch.arange(length, dtype=torch.float64)[:, None] / 10000 ** (torch.arange(width) / width)
    return torch.where(torch.arange(width) % 2 == 0, angle.sin(), angle.cos()).float()


class Positions(nn.Module):
    """Adds the position code, then dropout."""

    code: Tensor

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        # Explicitly on the CPU: the network may be built on the meta device.
        with torch.device("cpu"):
            self.register_buffer("code", position_code(POSITIONS, width), persistent=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """`[B, T, C]` at positions `first` ... to `[B, T, C]`."""
        if first + x.shape[1] > POSITIONS:
            raise TspError(f"a sequence of {first + x.shape[1]} features; the position code has {POSITIONS}")
        coded: Tensor = self.dropout(x + self.code[first : first + x.shape[1]])
        return coded


class Attention(nn.Module):
    """Multi-head attention between streams of different widths.

    Args:
        query, keys: widths of the streams.
        width: common width of all heads together.
        heads: H.
        dropout: on the weighted values, as released, not on the weights.

    Paper: BMT section 3.1.
    """

    def __init__(self, query: int, keys: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.to_query, self.to_key = nn.Linear(query, width), nn.Linear(keys, width)
        self.to_value, self.out = nn.Linear(keys, width), nn.Linear(width, query)
        self.dropout = nn.Dropout(dropout)

    def keys_values(self, x: Tensor) -> KeysValues:
        """Keys and values `[B, H, T, width / H]` of a stream `[B, T, C]`."""
        return self._split(self.to_key(x)), self._split(self.to_value(x))

    def forward(self, query: Tensor, keys_values: KeysValues, mask: Tensor | None) -> Tensor:
        """`[B, T, C]` to `[B, T, C]`; `mask` `[B, 1, T or 1, keys]`, None: all keys."""
        weighted = nn.functional.scaled_dot_product_attention(self._split(self.to_query(query)), *keys_values, mask)
        merged: Tensor = self.out(self.dropout(weighted).transpose(1, 2).flatten(2))
        return merged

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Residual(nn.Module):
    """Pre-norm residual connection: `x + dropout(f(norm(x)))`. There is no norm after the last layer."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)

    def add(self, x: Tensor, change: Tensor) -> Tensor:
        """`x` plus the dropped-out output of the layer on `norm(x)`."""
        added: Tensor = x + self.dropout(change)
        return added


class FeedForward(nn.Module):
    """Two layers within a residual connection."""

    def __init__(self, width: int, config: CaptionerConfig) -> None:
        super().__init__()
        inner = width * config.widening
        self.residual = Residual(width, config.dropout)
        self.layers = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(inner, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, C]` to `[B, T, C]`."""
        return self.residual.add(x, self.layers(self.residual.norm(x)))


class Attend(nn.Module):
    """Attention within a residual connection."""

    def __init__(self, query: int, keys: int, config: CaptionerConfig) -> None:
        super().__init__()
        self.residual = Residual(query, config.dropout)
        self.attention = Attention(query, keys, config.width, config.heads, config.dropout)

    def forward(self, x: Tensor, keys_values: KeysValues, mask: Tensor | None) -> Tensor:
        """`x` `[B, T, C]` looks at keys and values of any stream."""
        return self.residual.add(x, self.attention(self.residual.norm(x), keys_values, mask))

    def to_itself(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Self-attention: keys and values are normalised as the query is."""
        normal = self.residual.norm(x)
        return self.residual.add(x, self.attention(normal, self.attention.keys_values(normal), mask))

    def to_other(self, x: Tensor, other: Tensor, mask: Tensor | None) -> Tensor:
        """Cross attention: keys and values of `other` without normalisation."""
        return self(x, self.attention.keys_values(other), mask)


class EncoderLayer(nn.Module):
    """Each stream attends to itself, then to the other, then a feed-forward layer.

    Paper: BMT section 3.1 (bi-modal encoder).
    """

    def __init__(self, audio: int, video: int, config: CaptionerConfig) -> None:
        super().__init__()
        self.audio_self, self.video_self = Attend(audio, audio, config), Attend(video, video, config)
        self.audio_cross, self.video_cross = Attend(audio, video, config), Attend(video, audio, config)
        self.audio_forward, self.video_forward = FeedForward(audio, config), FeedForward(video, config)

    def forward(self, audio: Tensor, video: Tensor, audio_mask: Tensor, video_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Streams `[B, T, C]` and masks `[B, 1, 1, T]` to streams of the same sizes."""
        audio, video = self.audio_self.to_itself(audio, audio_mask), self.video_self.to_itself(video, video_mask)
        audio, video = (
            self.audio_cross.to_other(audio, video, video_mask),
            self.video_cross.to_other(video, audio, audio_mask),
        )
        return self.audio_forward(audio), self.video_forward(video)


class Encoder(nn.Module):
    """The bi-modal encoder: each stream attends to itself and to the other.

    Args:
        audio, video: widths of the features.
        config: sizes.
    """

    def __init__(self, audio: int, video: int, config: CaptionerConfig) -> None:
        super().__init__()
        self.audio_positions = Positions(audio, config.dropout)
        self.video_positions = Positions(video, config.dropout)
        self.layers = nn.ModuleList(EncoderLayer(audio, video, config) for _ in range(config.layers))

    def forward(self, audio: Tensor, video: Tensor, audio_mask: Tensor, video_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode both streams.

        Args:
            audio, video: features `[B, T, C]`, padded with any finite value.
            audio_mask, video_mask: `[B, T]`, True at features; at least one each.

        Returns:
            Audio and video, `[B, T, C]`.
        """
        audio, video = self.audio_positions(audio), self.video_positions(video)
        for layer in self.layers:
            audio, video = layer(audio, video, spread(audio_mask), spread(video_mask))
        return audio, video


def spread(mask: Tensor) -> Tensor:
    """`[B, T]` to `[B, 1, 1, T]`: the same keys for every head and query."""
    return mask[:, None, None, :]


def initialise(module: nn.Module) -> None:
    """Xavier-uniform matrices; vectors keep PyTorch's defaults."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
