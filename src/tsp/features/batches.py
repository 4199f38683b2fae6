"""Forward passes over clips of many videos, each video's features put together again."""

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor


class Batches:
    """Collects clips, passes them on in batches, and hands back the features of videos that have ended.

    Args:
        forward: clips `[n, 3, L, h, w]` to features `[n, C]`.
        size: clips of a batch.
        mix: fill batches with clips of several videos: full batches keep a GPU busy, but features then depend on their
            neighbours by rounding. Without: every call of `add` is a batch.
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], size: int, *, mix: bool) -> None:
        self.forward, self.size, self.mix = forward, size, mix
        self.clips: list[Tensor] = []
        self.owners: list[int] = []
        self.features: dict[int, list[Tensor]] = {}
        self.ended: list[int] = []

    def add(self, video: int, clips: Tensor) -> None:
        """Clips `[n, 3, L, h, w]` of a video, in order."""
        self.clips.append(clips)
        self.owners += [video] * len(clips)
        while len(self.owners) >= (self.size if self.mix else 1):
            self._pass(self.size if self.mix else len(self.owners))

    def end(self, video: int) -> None:
        """The video has no more clips."""
        self.ended.append(video)

    def drop(self, video: int) -> None:
        """Forget a video; its clips that still wait go through the network for nothing."""
        self.features.pop(video, None)
        self.owners = [-1 if owner == video else owner for owner in self.owners]

    def finished(self, *, last: bool = False) -> Iterator[tuple[int, Tensor]]:
        """Videos that ended and wait for no clip, and their features `[n, C]`.

        Args:
            last: no clip will follow, so that a batch that is not full is passed on.
        """
        if last and self.owners:
            self._pass(len(self.owners))
        waiting = set(self.owners)
        ready = [video for video in self.ended if video not in waiting]
        self.ended = [video for video in self.ended if video in waiting]
        for video in ready:
            yield video, torch.cat(self.features.pop(video))

    def _pass(self, count: int) -> None:
        clips = self.clips[0] if len(self.clips) == 1 else torch.cat(self.clips)
        runs = [(video, len(list(same))) for video, same in itertools.groupby(self.owners[:count])]
        parts = self.forward(clips[:count]).split([length for _, length in runs])
        for (video, _), part in zip(runs, parts, strict=True):
            if video >= 0:
                self.features.setdefault(video, []).append(part)
        self.clips = [clips[count:]] if len(clips) > count else []
        self.owners = self.owners[count:]
