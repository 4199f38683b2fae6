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
from torch.utils.data import Dataset

from tsp.encoders.weights import load_state, load_strict, save_encoder
from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.files import atomic
from tsp.io.predictions import write_predictions
from tsp.localise.align import Grid, align_and_mix, to_map
from tsp.localise.boundary import boundary_map, iou_map, valid_cells
from tsp.localise.data import Subset, duration_s, normalised_segments, read_subset
from tsp.localise.labels import read_video_scores
from tsp.localise.nms import soft_nms
from tsp.progress import progress
from tsp.training import checkpoint
from tsp.training.config import TrainerConfig
from tsp.training.fit import LossTerm, fit
from tsp.training.seeds import seed_everything

log = logging.getLogger(__name__)
EPS = 1e-6
Floats = NDArray[np.float64]


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


def check_channels(channels: int, config: Config) -> None:
    """Refuse widths that the grouped convolutions cannot split.

    Raises:
        TspError: naming both numbers.
    """
    for name, value, groups in (
        ("feature channels", channels, config.stem_groups),
        ("hidden_1d", config.hidden_1d, config.stem_groups),
        ("gcn_width", config.gcn_width, config.gcn_groups),
    ):
        if value % groups:
            raise TspError(f"G-TAD: {name} {value} is no multiple of its {groups} groups")


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
        check_channels(channels, config)
        c, self.config = config, config
        block = (c.hidden_1d, c.gcn_width, c.gcn_groups, c.neighbours)
        self.stem = nn.Sequential(nn.Conv1d(channels, c.hidden_1d, 3, padding=1, groups=c.stem_groups), nn.ReLU())
        self.block1, self.block2 = GCNeXt(*block), GCNeXt(*block)
        self.start = nn.Sequential(GCNeXt(*block), nn.Conv1d(c.hidden_1d, 1, 1), nn.Sigmoid())
        self.end = nn.Sequential(GCNeXt(*block), nn.Conv1d(c.hidden_1d, 1, 1), nn.Sigmoid())
        self.mix = nn.Conv2d(c.hidden_1d * (c.inner_samples + c.context_samples), c.hidden_3d, 1)
        pad = c.map_kernel // 2
        self.map = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(c.hidden_3d, c.hidden_2d, 1),
            nn.ReLU(),
            nn.Conv2d(c.hidden_2d, c.hidden_2d, c.map_kernel, padding=pad),
            nn.ReLU(),
            nn.Conv2d(c.hidden_2d, c.hidden_2d, c.map_kernel, padding=pad),
            nn.ReLU(),
            nn.Conv2d(c.hidden_2d, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features `[B, C, T]` to the map `[B, 2, D, T]` (regression, classification), starts and ends `[B, T]`."""
        grid = self.config.grid
        base = self.block1(self.stem(x))
        feat = self.block2(base)
        context = gather(feat, neighbours(feat, self.config.neighbours)).mean(-1)
        cells = align_and_mix(feat, context, self.mix.weight, self.mix.bias, grid)
        if self.config.map_kernel == 1:
            # Nothing crosses from cell to cell: the invalid half of the map need not be computed.
            found = to_map(self.map(cells[:, :, None])[:, :, 0], grid)
        else:
            found = self.map(to_map(cells, grid))
        return found, self.start(base)[:, 0], self.end(base)[:, 0]


def balanced(p: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Weighted binary cross entropy: minus half the mean of log p over the positives and of log(1 - p) over the rest.

    A side without members adds 0 (the released formula gives NaN).
    """
    total = p.new_zeros(())
    for member, log_p in ((positive, torch.log(p + EPS)), (negative, torch.log(1 - p + EPS))):
        total = total - 0.5 * (log_p * member).sum() / member.sum().clamp(min=1)
    return total


def regression_loss(p: Tensor, iou: Tensor) -> Tensor:
    """Half the mean squared error over cells drawn so that high, middle and low tIoU weigh the same.

    Args:
        p: `[B, D, T]` predictions.
        iou: `[B, D, T]` targets, 0 for invalid cells.
    """
    high, middle, low = iou > 0.7, (iou > 0.3) & (iou <= 0.7), (iou > 0) & (iou <= 0.3)
    weight = high.to(p.dtype)
    for cells in (middle, low):
        share = high.sum() / cells.sum().clamp(min=1)
        drawn = torch.rand(p.shape, device=p.device) * cells > 1 - share
        weight = weight + (drawn & cells)
    return 0.5 * (weight * (p - iou) ** 2).sum() / weight.sum().clamp(min=1)


class GtadTask:
    """The trainer's view of G-TAD; its metric is the validation loss."""

    metric = "loss"
    higher_is_better = False

    def __init__(self, model: Gtad, config: Config) -> None:
        self.model, self.config = model, config
        self.valid = torch.from_numpy(valid_cells(config.length, config.durations))

    def param_groups(self) -> list[dict[str, Any]]:
        """All parameters at one rate."""
        return [{"params": list(self.model.parameters()), "lr": self.config.lr, "name": "all"}]

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Node, regression and classification loss of a batch (gtad.md 5)."""
        found, start, end = self.model(batch["features"])
        iou, valid = batch["iou"], self.valid.to(found.device)
        node = found.new_zeros(())
        for p, target in ((start, batch["start"]), (end, batch["end"])):
            node = node + balanced(p, target > 0.5, target <= 0.5)
        positive = iou > 0.9
        negative = (iou <= 0.9) & valid
        return {
            "node": node,
            "regression": regression_loss(found[:, 0], iou),
            "classification": balanced(found[:, 1], positive, negative),
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


class Targets(Dataset[dict[str, Tensor]]):
    """Features and training targets of a subset, made once."""

    def __init__(self, subset: Subset, config: Config) -> None:
        self.features = torch.from_numpy(subset.features)
        maps = [targets(normalised_segments(video, config.time_base), config) for video in subset.videos]
        self.targets = {name: torch.stack([m[name] for m in maps]) for name in maps[0]}

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"features": self.features[index], **{name: rows[index] for name, rows in self.targets.items()}}


def targets(segments: Floats, config: Config) -> dict[str, Tensor]:
    """`iou` `[D, T]`, `start` and `end` `[T]` float32, of segments `[N, 2]` in units of the video (gtad.md 3)."""
    made = {
        "iou": iou_map(segments, config.length, config.durations),
        "start": boundary_map(segments[:, 0], config.length, cell_end=config.node_cell_end),
        "end": boundary_map(segments[:, 1], config.length, cell_end=config.node_cell_end),
    }
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
    seed_everything(seed)
    model = Gtad(read["train"].features.shape[1], config)
    data = {name: Targets(subset, config) for name, subset in read.items()}
    trainer = replace(config.trainer, seed=seed)
    result = fit(GtadTask(model, config), data["train"], data["valid"], trainer, work, device=device)
    with atomic(weights.with_name(checkpoint.LOG)) as temporary:
        temporary.write_bytes((work / checkpoint.LOG).read_bytes())
    save_encoder(weights, result.state, {"config": asdict(config), "seed": seed, "epochs": result.history})
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
    """See `method.Method.infer`: per video `map` `[2, D, T]`, `start` and `end` `[T]`, float32."""
    data = _read(config, features, annotations, subset)
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = Gtad(data.features.shape[1], config)
    load_strict(model, load_state(weights), weights)
    model.eval().to(target)
    size = config.trainer.batch_size
    with atomic(output) as temporary, h5py.File(temporary, "w") as file:
        for at in progress(range(0, len(data.videos), size), desc="infer", unit="batch"):
            batch = torch.from_numpy(data.features[at : at + size]).to(target)
            found = [part.float().cpu().numpy() for part in model(batch)]
            for row, video in enumerate(data.videos[at : at + size]):
                group = file.create_group(video.name)
                for name, values in zip(("map", "start", "end"), found, strict=True):
                    group.create_dataset(name, data=values[row], compression="gzip", compression_opts=1)


def post_process(config: Config, *, raw: Path, annotations: Path, subset: str, labels: Path, output: Path) -> None:
    """See `method.Method.post_process`: candidates, Soft-NMS, the best video-level classes (gtad.md 7.1)."""
    scores = read_video_scores(labels)
    results = {}
    for video, maps in progress(_raw(raw, annotations, subset), desc="post-process", unit="video"):
        segments, found = proposals(maps["map"], maps["start"], maps["end"], config)
        segments, found = soft_nms(segments, found, divisor=config.nms_divisor, keep=config.nms_keep)
        seconds = np.clip(segments, 0.0, 1.0) * duration_s(video)
        results[video.name] = [
            {"label": label, "score": float(score * share), "segment": segment.tolist()}
            for label, share in scores.best(video.name, config.classes)
            for segment, score in zip(seconds, found, strict=True)
        ]
    write_predictions(output, results, version="G-TAD")


def _raw(path: Path, annotations: Path, subset: str) -> Iterator[tuple[Any, dict[str, Floats]]]:
    with h5py.File(path, "r") as file:
        for video in read_annotations(annotations):
            if video.subset == subset and video.name in file:
                yield video, {name: np.asarray(rows[()], np.float64) for name, rows in file[video.name].items()}


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
    is_start, is_end = peaks(start), np.append(peaks(end), config.end_at_border)
    is_start[0], is_start[-1] = True, False
    is_end[0], is_end[length - 1] = False, True
    d, s = np.nonzero(valid_cells(length, config.durations))
    stop = s + d + 1
    kept = is_start[s] & is_end[stop]
    s, d, stop = s[kept], d[kept], stop[kept]
    return np.stack([s, stop], axis=1) / length, found[1, d, s] * found[0, d, s]


def peaks(scores: Floats) -> NDArray[np.bool_]:
    """`[T]`: above both neighbours, or above half the maximum; the two ends are False."""
    inner = (scores[1:-1] > scores[:-2]) & (scores[1:-1] > scores[2:])
    inner |= scores[1:-1] > 0.5 * scores.max()
    return np.concatenate([[False], inner, [False]])
