"""From decoded frames to network input (tsp.md 4). B clips, L frames, H W pixels; lower case after the crop."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate


class Look(Protocol):
    """What an encoder expects of its images: the four fields of `EncoderConfig`."""

    @property
    def resize(self) -> Sequence[int]:
        """Height and width in pixels."""

    @property
    def crop(self) -> int:
        """Side of the square crop in pixels."""

    @property
    def mean(self) -> Sequence[float]:
        """Of R, G, B in [0, 1]."""

    @property
    def std(self) -> Sequence[float]:
        """Of R, G, B in [0, 1]."""


def to_float(frames: Tensor) -> Tensor:
    """uint8 frames `[..., H, W, 3]` to float32 `[..., 3, H, W]` in [0, 255]."""
    return frames.movedim(-1, -3).to(torch.float32)


def resize(images: Tensor, size: Sequence[int]) -> Tensor:
    """Resize `[..., 3, H, W]` to height and width `size`: bilinear, no antialias, aspect ratio not kept."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    flat = images.reshape(-1, *images.shape[-3:])
    flat = interpolate(flat, size=tuple(size), mode="bilinear", align_corners=False, antialias=False)
    return flat.reshape(*images.shape[:-2], *size)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images `[..., 3, H, W]` in [0, 255] to (x / 255 - mean) / std, one mean and deviation per channel."""
    centre = torch.tensor(mean, dtype=images.dtype, device=images.device).mul_(255).view(3, 1, 1)
    width = torch.tensor(std, dtype=images.dtype, device=images.device).mul_(255).view(3, 1, 1)
    return (images - centre).div_(width)


def centre_crop(images: Tensor, side: int) -> Tensor:
    """The central square; offsets that end in .5 are rounded to even, as the released code does."""
    top, left = (round((length - side) / 2) for length in images.shape[-2:])
    return images[..., top : top + side, left : left + side]


def prepare_frames(frames: Tensor, look: Look) -> Tensor:
    """What each frame of a validation clip goes through, once however many clips it is in.

    Args:
        frames: `[n, H, W, 3]` uint8.
        look: size, crop, mean and deviation that the encoder expects.

    Returns:
        `[n, 3, crop, crop]` float32.
    """
    # Pixel by pixel the order of crop and normalisation is free: fewest pixels first.
    return normalise(centre_crop(resize(to_float(frames), look.resize), look.crop), look.mean, look.std)


def eval_transform(clips: Tensor, look: Look) -> Tensor:
    """Validation and extraction.

    Args:
        clips: `[..., L, H, W, 3]` uint8.
        look: size, crop, mean and deviation that the encoder expects.

    Returns:
        `[..., 3, L, crop, crop]` float32.
    """
    flat = prepare_frames(clips.reshape(-1, *clips.shape[-3:]), look)
    return flat.reshape(*clips.shape[:-3], *flat.shape[1:]).movedim(-3, -4)


def train_transform(clip: Tensor, look: Look, rng: np.random.Generator, *, flip: float) -> Tensor:
    """Training: resize, mirror the whole clip with probability `flip`, normalise, random crop.

    Args:
        clip: `[L, H, W, 3]` uint8.
        look: size, crop, mean and deviation that the encoder expects.
        rng: the clip's own, so that a clip never depends on which worker makes it.
        flip: probability.

    Returns:
        `[3, L, crop, crop]` float32.
    """
    images = resize(to_float(clip), look.resize)
    if rng.random() < flip:
        images = images.flip(-1)
    top, left = (int(rng.integers(0, length - look.crop + 1)) for length in images.shape[-2:])
    images = images[..., top : top + look.crop, left : left + look.crop]
    return normalise(images, look.mean, look.std).movedim(-3, -4)
