"""Proposals with their pooled features and graphs, and the training samples of P-GCN.

n proposals of a video (P in training), D channels, R roots, M = 1 + c + c * c nodes of a neighbourhood.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.features import FeatureFile
from tsp.localise.method import SubsetInputs
from tsp.localise.pgcn.config import Config
from tsp.localise.pgcn.graphs import expand, neighbour_slots
from tsp.localise.pgcn.pooling import Ticks, Units, pool_segments, ticks
from tsp.localise.pgcn.proposal_lists import FPS, Listed, read_list
from tsp.localise.pgcn.proposal_types import Pools, draw_roots, make_pools
from tsp.progress import progress
from tsp.training.seeds import item_rng
from tsp.types import Video

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A listed video of a subset.

    Args:
        video: its annotation.
        listed: its proposals.
        duration_s: seconds of its frames.
    """

    video: Video
    listed: Listed
    duration_s: float


def read_source(config: Config, inputs: SubsetInputs) -> list[Source]:
    """Every video of a subset that has proposals and features, in the order of the list.

    Raises:
        TspError: no list, no such video, or a video of unknown duration.
    """
    annotations, subset = inputs.annotations, inputs.subset
    proposals = list_of(inputs)
    annotated = read_annotations(annotations)
    videos = {v.name: v for v in annotated if v.subset == subset}
    by_name = {v.key: v for v in videos.values()} | videos
    lengths = annotated_lengths(annotated, config.list_fps) if config.normalised_lists else None
    listed = read_list(proposals, normalised=config.normalised_lists, frames=lengths)
    with FeatureFile(inputs.features) as file:
        pairs = [(by_name[x.name], x) for x in listed if x.name in by_name and by_name[x.name].key in file]
    if not pairs:
        raise TspError(
            f"{proposals}: none of its {len(listed)} videos (such as {listed[0].name!r}) is in subset {subset!r} of "
            f"{annotations} and in {inputs.features}"
        )
    if len(pairs) < max(len(listed), len(videos)):
        log.warning("%d of %d listed videos, subset %s has %d", len(pairs), len(listed), subset, len(videos))
    return [Source(video=v, listed=x, duration_s=x.duration_s(v, config.list_fps)) for v, x in pairs]


def annotated_lengths(videos: Iterable[Video], fps: float | None) -> dict[str, int]:
    """Frames of every video that states them, or a duration, by its name and by the key of its features.

    Args:
        videos: annotated videos.
        fps: frames of a second of duration; None: of the standardised videos.
    """
    found = {}
    for video in videos:
        stated = video.extra.get("frames")
        if not stated and video.duration_s is not None:
            stated = round(video.duration_s * (fps or FPS))
        if stated:
            found[video.key] = found[video.name] = int(stated)
    return found


def list_of(inputs: SubsetInputs) -> Path:
    """The proposal list of a subset.

    Raises:
        TspError: none is given.
    """
    if inputs.proposals is None:
        raise TspError(f"P-GCN refines proposals: none are given for subset {inputs.subset!r}")
    return inputs.proposals


class Pooling:
    """Pools segments of videos from one feature file."""

    def __init__(self, config: Config, file: FeatureFile) -> None:
        self.config, self.file = config, file
        facts = file.attributes
        missing = [name for name in ("stride", "fps", "clip_length") if name not in facts]
        if config.pooling == "time" and missing:
            raise TspError(f"{file.path}: pooling `time` needs the attribute {missing[0]!r}; try `windows`")
        self.facts: dict[str, Any] = {} if missing else {
            "stride": int(facts["stride"]), "fps": float(facts["fps"]), "clip_length": int(facts["clip_length"]),
        }  # fmt: skip

    def __call__(self, source: Source, segments: Ints, kind: Ticks) -> NDArray[np.float32]:
        """Features `[n, 3 D]` of segments `[n, 2]` of a video.

        Args:
            source: the video.
            segments: frames.
            kind: `training` or `inference`; they differ only if `ticks` is `released`.
        """
        config, n_frames = self.config, source.listed.n_frames
        units = Units(rule=config.pooling, n_frames=n_frames, frame_s=source.duration_s / n_frames, **self.facts)
        features = self.file[source.video.key]
        if features.ndim != 2 or not features.size:
            raise TspError(f"{self.file.path}: features of {source.video.key!r} are {features.shape}, expected [n, D]")
        if config.resample:
            features = units.fit(features, config.length)
        points = ticks(segments, n_frames, config.context, kind if config.ticks == "released" else "shared")
        return pool_segments(features, points, units)


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """A video's training graph.

    Args:
        pools: its nodes.
        slots: `[P, 10]` neighbours.
        features: `[P, 3 D]`, single or half precision.
    """

    pools: Pools
    slots: Ints
    features: NDArray[Any]


def trainables(config: Config, sources: Sequence[Source], features: Path) -> list[Trainable]:
    """Training graphs of all videos with a foreground node; the others are counted.

    Raises:
        TspError: there is no such video.
    """
    made, everything = [], config.training_graph == "all"
    with FeatureFile(features) as file:
        pooling = Pooling(config, file)
        for source in progress(sources, desc="pool", unit="video"):
            pools = make_pools(source.listed, config.types, lengths=config.target_lengths, everything=everything)
            if pools.counts[0]:
                slots = neighbour_slots(pools.segments, config.context_tiou)
                pooled = pooling(source, pools.segments, "training").astype(config.cache)
                made.append(Trainable(pools=pools, slots=slots, features=pooled))
    if not made:
        raise TspError(f"{features}: no video with an annotated action among {len(sources)} listed ones")
    counts = np.sum([t.pools.counts for t in made], axis=0).tolist()
    log.info("%d training videos, %d without action; %d foreground, %d incomplete, %d background nodes; %.0f MB",
             len(made), len(sources) - len(made), *counts, sum(t.features.nbytes for t in made) / 2**20)  # fmt: skip
    return made


def split(sources: Sequence[Source], share: float, seed: int) -> tuple[list[Source], list[Source]]:
    """Hold out a share of the videos, at least one: (kept, held out), each in the given order."""
    count = max(1, round(share * len(sources)))
    if count >= len(sources):
        raise TspError(f"{len(sources)} training videos are too few to hold out {count}")
    held_out = set(np.random.default_rng([seed, count]).permutation(len(sources))[:count].tolist())
    return [s for i, s in enumerate(sources) if i not in held_out], [s for i, s in enumerate(sources) if i in held_out]


class Neighbourhoods(Dataset[dict[str, Tensor]]):
    """Drawn roots of videos with their drawn neighbourhoods; an item is a video.

    The draws of item i of epoch e depend on (seed, e, i) alone.

    Args:
        videos: training graphs.
        config: roots, children, empty pools.
        statistics: mean `[2]` and deviation `[2]` of the regression targets.
        seed: of the run.
        repeat: times that an epoch contains each video.
        batch: an epoch is cut to a multiple of it, if it has as many items.

    Paper: P-GCN section 4.1; the released code repeats the videos and drops the last incomplete batch.
    """

    def __init__(
        self,
        videos: Sequence[Trainable],
        config: Config,
        statistics: tuple[Floats, Floats],
        seed: int,
        *,
        repeat: int = 1,
        batch: int = 1,
    ) -> None:
        self.videos, self.config, self.statistics, self.seed = videos, config, statistics, seed
        self.repeat, self.total = repeat, len(videos) * repeat
        self.length = self.total // batch * batch or self.total
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Change all draws, and the videos dropped at the end of the epoch."""
        self.epoch = epoch
        self.order = item_rng(self.seed, epoch, self.total).permutation(self.total) % len(self.videos)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: rows[0] for name, rows in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """The batch of some items: `features` `[B, R, M, 3 D]`, `target` `[B, R, 2]`, and `label`, `type`, `used`."""
        rows = list(zip(*map(self._draw, indices), strict=True))
        labels, codes, used, targets, features = (np.stack(r) for r in rows)
        return {
            "features": torch.from_numpy(features).float(),
            "label": torch.from_numpy(labels),
            "type": torch.from_numpy(codes),
            "used": torch.from_numpy(used),
            "target": torch.from_numpy(targets).float(),
        }

    def collate(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch as it is: `__getitems__` has joined its items."""
        return batch

    def _draw(self, index: int) -> tuple[NDArray[Any], ...]:
        video, config = self.videos[self.order[index]], self.config
        rng = item_rng(self.seed, self.epoch, index)
        roots, codes, used = draw_roots(video.pools, config.roots, rng, config.empty_pool)
        nodes = expand(roots, video.slots, config.children, rng)
        mean, deviation = self.statistics
        targets = (video.pools.targets[roots] - mean) / deviation
        return video.pools.labels[roots], codes, used, targets, video.features[nodes]


def inference_inputs(
    config: Config, sources: Sequence[Source], features: Path
) -> Iterator[tuple[Source, NDArray[np.float32], Ints]]:
    """Per listed video, annotated or not: itself, pooled features `[n, 3 D]`, neighbour slots `[n, 10]`."""
    with FeatureFile(features) as file:
        pooling = Pooling(config, file)
        for source in progress(sources, desc="infer", unit="video"):
            segments = source.listed.segments
            slots = neighbour_slots(segments, config.context_tiou)
            yield source, pooling(source, segments, "inference"), slots
