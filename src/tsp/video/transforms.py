"""Transforms from decoded frames to network input (tsp.md 4).

B clips, L frames, H W pixels; lower case after the crop.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate


class InputFormat(Protocol):
    """Image format that an encoder expects: four fields of `EncoderConfig`."""

    @property
    def resize(self) -> Sequence[int]:
        """Height and width in pixels."""

    @property
    def crop(self) -> int:
        """Side of the square crop in pixels."""

    @property
    def mean(self) -> Sequence[float]:
        """Mean of R, G, B in [0, 1]."""

    @property
    def std(self) -> Sequence[float]:
        """Standard deviation of R, G, B in [0, 1]."""


def to_float(frames: Tensor) -> Tensor:
    """uint8 frames `[..., H, W, 3]` to float32 `[..., 3, H, W]` in [0, 255]."""
    return frames.movedim(-1, -3).to(torch.float32)


def resize(images: Tensor, size: Sequence[int]) -> Tensor:
    """Resize `[..., 3, H, W]` to height and width `size`: bilinear, no antialias, not preserving the aspect ratio."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    flat = images.reshape(-1, *images.shape[-3:])
    flat = interpolate(flat, size=tuple(size), mode="bilinear", align_corners=False, antialias=False)
    return flat.reshape(*images.shape[:-2], *size)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images `[..., 3, H, W]` in [0, 255] to (x / 255 - mean) / std, one mean and deviation per channel."""
    centre, width = (_per_channel(tuple(values), images.dtype, images.device) for values in (mean, std))
    return (images - centre).div_(width)


@functools.lru_cache(maxsize=16)
def _per_channel(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """`[3, 1, 1]` on the scale of bytes; kept, because every copy to a GPU makes the host wait for it."""
    return torch.tensor(values, dtype=dtype, device=device).mul_(255).view(3, 1, 1)


def centre_crop(images: Tensor, side: int) -> Tensor:
    """Crop the central square; offsets ending in .5 are rounded to even, as in the released code."""
    top, left = (round((length - side) / 2) for length in images.shape[-2:])
    return images[..., top : top + side, left : left + side]


def prepare_frames(frames: Tensor, form: InputFormat) -> Tensor:
    """Validation transform of single frames, applied once to frames shared by several clips.

    Args:
        frames: `[n, H, W, 3]` uint8.
        form: size, crop, mean and standard deviation that the encoder expects.

    Returns:
        `[n, 3, crop, crop]` float32.
    """
    # Cropping and normalisation commute; cropping first leaves fewer pixels.
    return normalise(centre_crop(resize(to_float(frames), form.resize), form.crop), form.mean, form.std)


def eval_transform(clips: Tensor, form: InputFormat) -> Tensor:
    """Transform for validation and extraction.

    Args:
        clips: `[..., L, H, W, 3]` uint8.
        form: size, crop, mean and standard deviation that the encoder expects.

    Returns:
        `[..., 3, L, crop, crop]` float32.
    """
    flat = prepare_frames(clips.reshape(-1, *clips.shape[-3:]), form)
    return flat.reshape(*clips.shape[:-3], *flat.shape[1:]).movedim(-3, -4)


class View(NamedTuple):
    """What is seen of a resized clip: a crop at a corner, mirrored or not."""

    mirrored: bool
    top: int
    left: int


def random_view(form: InputFormat, rng: np.random.Generator, *, flip: float) -> View:
    """The view of a training clip: mirrored with probability `flip`, then cropped anywhere.

    Args:
        form: size after resizing, and crop.
        rng: of this clip, so that the clip does not depend on the worker.
        flip: probability of mirroring.
    """
    mirrored = bool(rng.random() < flip)
    top, left = (int(rng.integers(0, length - form.crop + 1)) for length in form.resize)
    return View(mirrored, top, left)


def train_transform(clip: Tensor, form: InputFormat, view: View) -> Tensor:
    """Transform for training: resize, mirror the whole clip, crop, normalise, on the clip's device.

    Args:
        clip: `[L, H, W, 3]` uint8.
        form: size, crop, mean and standard deviation that the encoder expects.
        view: what to keep of it.

    Returns:
        `[3, L, crop, crop]` float32.
    """
    images = resize(to_float(clip), form.resize)
    if view.mirrored:
        images = images.flip(-1)
    images = images[..., view.top : view.top + form.crop, view.left : view.left + form.crop]
    return normalise(images, form.mean, form.std).movedim(-3, -4)
