"""All clips of a video in one pass over its frames."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsp.segments import CLIP_FPS, CLIP_LENGTH
from tsp.video.clips import extraction_frames
from tsp.video.decode import Frames, VideoReader

# Frames per transform: enough to amortise the call, few enough to stay in the cache.
CHUNK = 4


def stream_clips(
    path: str | Path,
    transform: Callable[[Tensor], Tensor],
    *,
    stride: int,
    batch_size: int,
    clip_length: int = CLIP_LENGTH,
    clip_fps: float = CLIP_FPS,
    released_timestamps: bool = False,
) -> Iterator[Tensor]:
    """Decode a video once, in order, and yield its clips in batches.

    Each frame is decoded and transformed once, however many clips share it (at stride 1: 16).

    Args:
        path: the video.
        transform: `[n, H, W, 3]` uint8 frames to `[n, 3, h, w]`, frame by frame.
        stride: frames at `clip_fps` between the starts of consecutive clips.
        batch_size: clips of a batch; the last one may have fewer.
        clip_length, clip_fps, released_timestamps: see `extraction_frames`.

    Yields:
        `[B, 3, clip_length, h, w]`.

    Raises:
        TspError: the file is damaged.

    Paper: section 4 (features); tsp.md 9.1.
    """
    with VideoReader(path) as reader:
        video = (reader.n_frames, float(reader.fps))
        clips = extraction_frames(*video, stride, clip_length, clip_fps, released_timestamps=released_timestamps)
        batch: list[Tensor] = []
        ready: dict[int, Tensor] = {}
        following = iter([*clips[1:, 0].tolist(), -1])
        waiting = iter(clips)
        clip = next(waiting, None)
        for number, image in _images(reader, np.unique(clips), transform):
            ready[number] = image
            while clip is not None and clip[-1] == number:
                batch.append(torch.stack([ready[k] for k in clip.tolist()], dim=1))
                first_needed = next(following)
                ready = {k: v for k, v in ready.items() if k >= first_needed >= 0}
                clip = next(waiting, None)
                # Inside the loop: at low frame rates several clips end with the same frame.
                if len(batch) == batch_size:
                    yield torch.stack(batch)
                    batch = []
        if batch:
            yield torch.stack(batch)


def _images(
    reader: VideoReader, wanted: NDArray[np.int64], transform: Callable[[Tensor], Tensor]
) -> Iterator[tuple[int, Tensor]]:
    """Yield the number and the transformed image of each wanted frame."""
    if len(wanted) == 0:
        return
    last = int(wanted[-1])
    numbers: list[int] = []
    frames: list[Frames] = []
    for number, frame in zip(wanted.tolist(), reader.iterate(set(wanted.tolist())), strict=True):
        numbers.append(number)
        frames.append(frame)
        if len(frames) == CHUNK or number == last:
            yield from zip(numbers, transform(torch.from_numpy(np.stack(frames))), strict=True)
            numbers, frames = [], []
        if number == last:
            return
