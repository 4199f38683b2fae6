"""G-TAD: sub-graph localisation for temporal action detection (Xu et al., CVPR 2020), on ActivityNet's grid.

B batch, C feature channels, T snippets, D durations, V videos, K classes; cell (d, s) = segment [s, s + d + 1).
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsp import __version__
from tsp.encoders.weights import load_state, load_strict, save_encoder
from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.files import atomic, sha256
from tsp.io.predictions import write_predictions
from tsp.localise.align import Grid, align_and_mix, to_map
from tsp.localise.boundary import balanced, boundary_map, iou_map, peaks, regression_loss, valid_cells
from tsp.localise.data import Rows, Subset, duration_s, has_feature_frames, normalised_segments, read_subset
from tsp.localise.labels import read_video_scores
from tsp.localise.nms import soft_nms_many
from tsp.progress import progress
from tsp.training import checkpoint
from tsp.training.checkpoint import config_hash
from tsp.training.config import TrainerConfig
from tsp.training.distributed import pick_device
from tsp.training.fit import LossTerm, fit
from tsp.training.seeds import seed_everything
from tsp.types import Video

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]
PRODUCER = f"tsp {__version__} localise.gtad"


@dataclass(frozen=True, kw_only=True)
class GtadTrainer(TrainerConfig):
    """The trainer with G-TAD's values for ActivityNet."""

    epochs: int = 10
    """Passes over the training videos."""
    batch_size: int = 16
    """Videos of a batch."""
    optimizer: Literal["sgd", "adam"] = "adam"
    """Adam with L2 in the gradient."""
    weight_decay: float = 1e-4
    """L2 weight decay."""
    schedule: Literal["constant", "warmup_steps"] = "warmup_steps"
    """Times `gamma` at each milestone."""
    milestones: tuple[int, ...] = (5,)
    """Epochs from which the rate is multiplied by `gamma`."""
    gamma: float = 0.1
    """Factor of a milestone."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of G-TAD. Defaults: ActivityNet with TSP features."""

    length: int = 100
    """T: snippets that a video's features are resampled to."""
    durations: int = 100
    """D: longest segment in snippets."""
    align_corners: bool = False
    """Convention of the resampling in time; the paper does not state it."""
    hidden_1d: int = 256
    """Channels over time."""
    hidden_3d: int = 512
    """Channels of the first map layer."""
    hidden_2d: int = 128
    """Channels of the other map layers."""
    stem_groups: int = 4
    """Groups of the first convolution."""
    gcn_width: int = 128
    """Middle channels of a GCNeXt block (32 paths of width 4)."""
    gcn_groups: int = 32
    """Paths of a GCNeXt block."""
    neighbours: int = 3
    """k of the semantic graph, the snippet itself included."""
    inner_samples: int = 32
    """Points that SGAlign samples of each segment."""
    context_samples: int = 4
    """Points that SGAlign samples of the graph neighbours."""
    expand: float = 0.5
    """Share of its duration by which a segment is widened on each side."""
    map_kernel: Literal[1, 3] = 1
    """Kernel of the two middle map convolutions: 1 for ActivityNet, 3 for THUMOS14."""
    node_cell_end: float = 1.5
    """Node i covers [i - 0.5, i + this] snippets in the boundary targets: 1.5 as released, 0.5 for THUMOS14."""
    time_base: Literal["feature_frames", "duration"] = "feature_frames"
    """Length by which labels are normalised: that covered by the annotation's feature frames (released), or all."""
    lr: float = 4e-3
    """Learning rate."""
    regression_weight: float = 10.0
    """Factor of the regression loss."""
    classification_weight: float = 1.0
    """Factor of the classification loss."""
    class_count_extra: int = 0
    """Added to the counts of positive and of negative cells in their loss: 0 for ActivityNet, 10 for THUMOS14."""
    boundary_filter: bool = True
    """Segments run between peaks of the boundary scores (ActivityNet), or between any two snippets (THUMOS14)."""
    end_at_border: bool = False
    """Also propose segments that end with the last snippet; the released code does not."""
    nms_divisor: float = 0.8
    """Gaussian Soft-NMS: scores decay by exp(-tIoU^2 / divisor)."""
    nms_keep: int = 100
    """Segments of a video."""
    classes: int = 2
    """Video-level classes that every segment is given."""
    trainer: GtadTrainer = field(default_factory=GtadTrainer)
    """Epochs, batch, optimiser, schedule."""

    def __post_init__(self) -> None:
        """Refuse sizes that no grid or grouped convolution has."""
        if not 1 <= self.durations <= self.length or self.length < 3:
            raise ValueError(f"durations {self.durations} and length {self.length}: expected 1 <= durations <= length")
        if self.inner_samples < 1 or self.context_samples < 0:
            raise ValueError("inner_samples must be at least 1, context_samples at least 0")
        if not 1 <= self.neighbours <= self.length:
            raise ValueError(f"neighbours {self.neighbours}: expected 1 to length {self.length}")
        if self.hidden_1d % self.stem_groups or self.gcn_width % self.gcn_groups:
            raise ValueError("hidden_1d must be a multiple of stem_groups, gcn_width of gcn_groups")

    @property
    def grid(self) -> Grid:
        """Geometry of the map."""
        return Grid(self.length, self.durations, self.inner_samples, self.context_samples, self.expand)


def neighbours(x: Tensor, k: int) -> Tensor:
    """`[B, T, k]` indices of the nearest snippets by squared distance of `x` `[B, C, T]`; no gradient."""
    with torch.no_grad():
        square = (x * x).sum(1)
        near = -square[:, :, None] + 2 * x.transpose(1, 2) @ x - square[:, None, :]
        return near.topk(k, dim=-1).indices


def gather(x: Tensor, index: Tensor) -> Tensor:
    """`[B, C, T, k]`: the columns of `x` `[B, C, T]` at `index` `[B, T, k]`."""
    batch, length, k = index.shape
    flat = index.reshape(batch, 1, length * k).expand(-1, x.shape[1], -1)
    return x.gather(2, flat).view(batch, x.shape[1], length, k)


class GCNeXt(nn.Module):
    """A residual block over time and over the graph of similar snippets.

    Paper: G-TAD section 3.2.
    """

    def __init__(self, channels: int, width: int, groups: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.temporal = nn.Sequential(
            nn.Conv1d(channels, width, 1),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv1d(width, channels, 1),
        )
        self.semantic = nn.Sequential(
            nn.Conv2d(2 * channels, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, T]` to `[B, C, T]`."""
        near = gather(x, neighbours(x, self.k))
        edges = torch.cat([near, x[..., None].expand_as(near)], dim=1)
        return torch.relu(x + self.temporal(x) + self.semantic(edges).amax(-1))


class Gtad(nn.Module):
    """The network: boundary scores and the map of segments.

    Paper: G-TAD section 3.
    """

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        if channels % config.stem_groups:
            raise TspError(f"G-TAD: {channels} feature channels are no multiple of stem_groups {config.stem_groups}")
        c, self.config = config, config
        block = (c.hidden_1d, c.gcn_width, c.gcn_groups, c.neighbours)
        self.stem = nn.Sequential(nn.Conv1d(channels, c.hidden_1d, 3, padding=1, groups=c.stem_groups), nn.ReLU())
        self.block1, self.block2 = GCNeXt(*block), GCNeXt(*block)
        self.start = nn.Sequential(GCNeXt(*block), nn.Conv1d(c.hidden_1d, 1, 1), nn.Sigmoid())
        self.end = nn.Sequential(GCNeXt(*block), nn.Conv1d(c.hidden_1d, 1, 1), nn.Sigmoid())
        self.mix = nn.Conv2d(c.hidden_1d * (c.inner_samples + c.context_samples), c.hidden_3d, 1)
        pad = c.map_kernel // 2
        self.map = nn.ModuleList(
            [
                nn.Conv2d(c.hidden_3d, c.hidden_2d, 1),
                nn.Conv2d(c.hidden_2d, c.hidden_2d, c.map_kernel, padding=pad),
                nn.Conv2d(c.hidden_2d, c.hidden_2d, c.map_kernel, padding=pad),
                nn.Conv2d(c.hidden_2d, 2, 1),
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boundary scores and the map.

        Args:
            x: features `[B, C, T]`.

        Returns:
            Map `[B, 2, D, T]` (trained by regression, by classification), starts `[B, T]`, ends `[B, T]`.
        """
        base = self.block1(self.stem(x))
        feat = self.block2(base)
        context = gather(feat, neighbours(feat, self.config.neighbours)).mean(-1)
        assert self.mix.bias is not None
        cells = torch.relu(align_and_mix(feat, context, self.mix.weight, self.mix.bias, self.config.grid))
        return self._scores(cells), self.start(base)[:, 0], self.end(base)[:, 0]

    def _scores(self, cells: Tensor) -> Tensor:
        """`[B, cells + 1, O]` to `[B, 2, D, T]`."""
        grid = self.config.grid
        first, *middle, last = self.map.children()
        cells = torch.relu(_pointwise(first, cells))
        if self.config.map_kernel == 1:
            # Nothing crosses from cell to cell: the invalid half of the map need not be computed.
            for layer in middle:
                cells = torch.relu(_pointwise(layer, cells))
            return to_map(_pointwise(last, cells).sigmoid(), grid)
        image = to_map(cells, grid)
        for layer in middle:
            image = torch.relu(layer(image))
        return torch.sigmoid(last(image))


def _pointwise(layer: nn.Module, cells: Tensor) -> Tensor:
    """A 1x1 convolution on channels-last cells."""
    weight, bias = layer.parameters()
    return nn.functional.linear(cells, weight.flatten(1), bias)


class GtadTask:
    """The trainer's view of G-TAD; its metric is the validation loss."""

    metric = "loss"
    higher_is_better = False

    def __init__(self, model: Gtad, config: Config, fingerprint: str = "") -> None:
        self.model, self.config, self.fingerprint = model, config, fingerprint
        self.valid = torch.from_numpy(valid_cells(config.length, config.durations))

    def param_groups(self) -> list[dict[str, Any]]:
        """All parameters at one rate."""
        return [{"params": list(self.model.parameters()), "lr": self.config.lr, "name": "all"}]

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Node, regression and classification loss of a batch (gtad.md 5)."""
        # Sums of ten thousand cells need single precision.
        found, start, end = (part.float() for part in self.model(batch["features"]))
        iou, valid = batch["iou"], self.valid.to(found.device)
        node = found.new_zeros(())
        for p, target in ((start, batch["start"]), (end, batch["end"])):
            node = node + balanced(p, target > 0.5, target <= 0.5)
        positive = iou > 0.9
        negative = (iou <= 0.9) & valid
        return {
            "node": node,
            "regression": regression_loss(found[:, 0], iou),
            "classification": balanced(found[:, 1], positive, negative, extra=self.config.class_count_extra),
        }

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, LossTerm]:
        """Weighted losses; they are normalised over the whole batch, hence a count of 1."""
        weights = {"regression": self.config.regression_weight, "classification": self.config.classification_weight}
        return {name: LossTerm(value, 1.0, weights.get(name, 1.0)) for name, value in self.losses(batch).items()}

    def validate(self, batches: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
        """Mean over batches of each loss and of the total."""
        sums: dict[str, float] = {}
        n = 0
        for n, batch in enumerate(batches, 1):  # noqa: B007
            terms = self.loss(batch)
            values = {name: float(term.sum) for name, term in terms.items()}
            values["loss"] = sum(float(term.sum) * term.weight for term in terms.values())
            sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
        return {name: value / n for name, value in sums.items()}


def examples(subset: Subset, config: Config) -> Rows:
    """Features and targets of a subset, in memory."""
    unstated = sum(not has_feature_frames(video) for video in subset.videos)
    if config.time_base == "feature_frames" and unstated:
        log.info("%d of %d videos state no feature_frame: their duration is used", unstated, len(subset.videos))
    maps = [targets(normalised_segments(video, config.time_base), config) for video in subset.videos]
    stacked = {name: torch.stack([m[name] for m in maps]) for name in maps[0]}
    return Rows({"features": torch.from_numpy(subset.features), **stacked})


def targets(segments: Floats, config: Config) -> dict[str, Tensor]:
    """What the network should find.

    Args:
        segments: `[N, 2]` in units of the video's length.
        config: sizes, node cells.

    Returns:
        `iou` `[D, T]`, `start` and `end` `[T]`, float32, as they are compared with the thresholds.

    Paper: G-TAD section 3.4 (labels).
    """
    length = config.length
    made = {"iou": iou_map(segments, length, config.durations)}
    for name, points in (("start", segments[:, 0]), ("end", segments[:, 1])):
        made[name] = boundary_map(points, length, cell_end=config.node_cell_end)
    return {name: torch.from_numpy(value.astype(np.float32)) for name, value in made.items()}


def train(
    config: Config,
    *,
    train_features: Path,
    valid_features: Path,
    annotations: Path,
    subsets: dict[str, str],
    seed: int,
    weights: Path,
    work: Path,
    device: str | None = None,
) -> None:
    """See `method.Method.train`."""
    files = {"train": train_features, "valid": valid_features}
    read = {name: _read(config, path, annotations, subsets[name]) for name, path in files.items()}
    for name, subset in read.items():
        if not any(video.segments for video in subset.videos):
            raise TspError(f"{annotations}: subset {subsets[name]!r} has features but no annotated action")
    seed_everything(seed)
    model = Gtad(read["train"].features.shape[1], config)
    inputs = {"train_features": train_features, "valid_features": valid_features, "annotations": annotations}
    hashes = {name: sha256(path) for name, path in inputs.items()}
    own = {name: value for name, value in asdict(config).items() if name != "trainer"}
    task = GtadTask(model, config, fingerprint=config_hash(config.trainer, own=own, inputs=hashes))
    data = {name: examples(subset, config) for name, subset in read.items()}
    trainer = replace(config.trainer, seed=seed)
    result = fit(task, data["train"], data["valid"], trainer, work, device=device)
    with atomic(weights.with_name(checkpoint.LOG)) as temporary:
        temporary.write_bytes((work / checkpoint.LOG).read_bytes())
    facts = {"config": asdict(config), "seed": seed, "inputs_sha256": hashes, "best_epoch": result.best_epoch}
    save_encoder(weights, result.state, {**facts, "epochs": result.history})
    checkpoint.clear(work)


def _read(config: Config, features: Path, annotations: Path, subset: str) -> Subset:
    return read_subset(features, annotations, subset, config.length, align_corners=config.align_corners)


@torch.inference_mode()
def infer(
    config: Config,
    *,
    weights: Path,
    features: Path,
    annotations: Path,
    subset: str,
    output: Path,
    device: str | None = None,
) -> None:
    """See `method.Method.infer`: per video a group with `map` `[2, D, T]`, `start` and `end` `[T]`, float32."""
    data = _read(config, features, annotations, subset)
    target = pick_device(device)
    model = Gtad(data.features.shape[1], config)
    load_strict(model, load_state(weights), weights)
    model.eval().to(target)
    size = config.trainer.batch_size
    with atomic(output) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(producer=PRODUCER, weights_sha256=sha256(weights), features_sha256=sha256(features))
        for at in progress(range(0, len(data.videos), size), desc="infer", unit="batch"):
            batch = torch.from_numpy(data.features[at : at + size]).to(target)
            found = [part.float().cpu().numpy() for part in model(batch)]
            for row, video in enumerate(data.videos[at : at + size]):
                group = file.create_group(video.name)
                for name, values in zip(("map", "start", "end"), found, strict=True):
                    group.create_dataset(name, data=values[row], compression="gzip", compression_opts=1)


def post_process(config: Config, *, raw: Path, annotations: Path, subset: str, labels: Path, output: Path) -> None:
    """See `method.Method.post_process`.

    Paper: G-TAD section 4 (inference). The score of a detection is regression x classification, decayed, x the
        video's class score.
    """
    scores = read_video_scores(labels)
    videos, candidates = [], []
    for video, maps in progress(_raw(raw, annotations, subset), desc="candidates", unit="video"):
        videos.append(video)
        candidates.append(proposals(maps["map"], maps["start"], maps["end"], config))
    results = {}
    kept = soft_nms_many(candidates, divisor=config.nms_divisor, keep=config.nms_keep)
    for video, (segments, found) in zip(videos, kept, strict=True):
        seconds = np.clip(segments, 0.0, 1.0) * duration_s(video)
        results[video.name] = [
            {"label": label, "score": score, "segment": segment}
            for label, share in scores.best(video.name, config.classes)
            for segment, score in zip(seconds.tolist(), (found * share).tolist(), strict=True)
        ]
    log.info("%d detections in %d videos", sum(map(len, results.values())), len(results))
    facts = {"producer": PRODUCER, "raw_sha256": sha256(raw), "labels_sha256": sha256(labels)}
    write_predictions(output, results, version="G-TAD", external_data={"used": True, "details": facts})


def _raw(path: Path, annotations: Path, subset: str) -> Iterator[tuple[Video, dict[str, Floats]]]:
    try:
        with h5py.File(path, "r") as file:
            for video in read_annotations(annotations):
                if video.subset == subset and video.name in file:
                    yield video, {name: np.asarray(rows[()], np.float64) for name, rows in file[video.name].items()}
    except OSError as error:
        raise TspError(f"{path}: damaged raw predictions ({error}); run the inference again") from error


def proposals(found: Floats, start: Floats, end: Floats, config: Config) -> tuple[Floats, Floats]:
    """Scored segments between candidate boundaries.

    Args:
        found: `[2, D, T]` regression and classification.
        start: `[T]` start scores.
        end: `[T]` end scores.
        config: whether segments may end at the border.

    Returns:
        `[N, 2]` in units of the video's length, and `[N]` = classification x regression.
    """
    length = config.length
    d, s = np.nonzero(valid_cells(length, config.durations))
    stop = s + d + 1
    if config.boundary_filter:
        is_start, is_end = peaks(start), np.append(peaks(end), True)
        is_start[0] = is_end[length - 1] = True
        kept = is_start[s] & is_end[stop]
        d, s, stop = d[kept], s[kept], stop[kept]
    if not config.end_at_border:
        inside = stop < length
        d, s, stop = d[inside], s[inside], stop[inside]
    return np.stack([s, stop], axis=1) / length, found[1, d, s] * found[0, d, s]
