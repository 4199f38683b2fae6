"""G-TAD: sub-graph localisation for temporal action detection (Xu et al., CVPR 2020), on ActivityNet's grid.

B batch, C feature channels, T snippets, D durations, V videos, K classes; cell (d, s) = segment [s, s + d + 1).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsp.errors import TspError
from tsp.localise.maps.align import AlignmentGrid, align_and_mix, to_map
from tsp.localise.maps.detections import Maps, Selection
from tsp.localise.maps.method import MapMethod
from tsp.localise.maps.sampling import pointwise, probability
from tsp.localise.maps.targets import boundary_map, iou_map, peaks, valid_cells
from tsp.localise.maps.training import MapTask
from tsp.localise.nms import Scored, Suppression
from tsp.localise.windows import AFTER_INFERENCE, Windows
from tsp.training.config import TrainerConfig

Floats = NDArray[np.float64]
POST_PROCESS = ("boundary_filter", "end_at_border", "nms_divisor", "nms_keep", "classes", *AFTER_INFERENCE)


@dataclass(frozen=True, kw_only=True)
class GtadTrainer(TrainerConfig):
    """The trainer with G-TAD's values for ActivityNet. `keep: last` is the rule of the code for THUMOS14."""

    epochs: int = 10
    """Passes over the training videos."""
    batch_size: int = 16
    """Videos of a batch."""
    optimizer: Literal["sgd", "adam"] = "adam"
    """Adam with L2 in the gradient."""
    weight_decay: float = 1e-4
    """L2 weight decay."""
    schedule: Literal["constant", "warmup_steps"] = "warmup_steps"
    """Multiply the rate by `gamma` at each milestone."""
    milestones: tuple[int, ...] = (5,)
    """Epochs from which the rate is multiplied by `gamma`."""
    gamma: float = 0.1
    """Factor of a milestone."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of G-TAD. Defaults: ActivityNet with TSP features.

    THUMOS14 with TSP features: the entry `gtad_thumos14` of config/experiments.yaml. Its released code swaps the loss
    weights (regression_weight 1, classification_weight 10), and the published numbers were made with these; the paper
    intends 10 and 1.
    """

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
    """k of the semantic graph, including the snippet itself."""
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
    windows: Windows | None = None
    """Cut long videos into windows of `length` snippets, as on THUMOS14; null: resample each video to `length`."""
    time_base: Literal["feature_frames", "duration"] = "feature_frames"
    """Length that normalises labels: that of the annotation's feature frames (released), or the video's duration."""
    lr: float = 4e-3
    """Learning rate."""
    regression_weight: float = 10.0
    """Factor of the regression loss."""
    classification_weight: float = 1.0
    """Factor of the classification loss."""
    class_count_extra: int = 0
    """Added to the counts of positive and of negative cells in their loss: 0 for ActivityNet, 10 for THUMOS14."""
    boundary_filter: bool = True
    """Segments run between peaks of the boundary scores (ActivityNet) instead of any two snippets (THUMOS14)."""
    end_at_border: bool = False
    """Also propose segments that end with the last snippet; the released code does not."""
    nms_divisor: float = 0.8
    """Gaussian Soft-NMS: scores decay by exp(-tIoU^2 / divisor)."""
    nms_keep: int = 100
    """Number of segments kept per video."""
    classes: int = 2
    """Number of video-level classes assigned to each segment."""
    trainer: GtadTrainer = field(default_factory=GtadTrainer)
    """Epochs, batch, optimiser, schedule."""

    def __post_init__(self) -> None:
        """Reject sizes that do not fit the grid or the grouped convolutions."""
        if not 1 <= self.durations <= self.length or self.length < 3:
            raise ValueError(f"durations {self.durations} and length {self.length}: expected 1 <= durations <= length")
        if self.inner_samples < 1 or self.context_samples < 0:
            raise ValueError("inner_samples must be at least 1, context_samples at least 0")
        if not 1 <= self.neighbours <= self.length:
            raise ValueError(f"neighbours {self.neighbours}: expected 1 to length {self.length}")
        if self.hidden_1d % self.stem_groups or self.gcn_width % self.gcn_groups:
            raise ValueError("hidden_1d must be a multiple of stem_groups, gcn_width of gcn_groups")

    @property
    def grid(self) -> AlignmentGrid:
        """Geometry of the map."""
        return AlignmentGrid(self.length, self.durations, self.inner_samples, self.context_samples, self.expand)


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
        self.start = nn.Sequential(GCNeXt(*block), nn.Conv1d(c.hidden_1d, 1, 1))
        self.end = nn.Sequential(GCNeXt(*block), nn.Conv1d(c.hidden_1d, 1, 1))
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
        return self._scores(cells), probability(self.start(base)[:, 0]), probability(self.end(base)[:, 0])

    def _scores(self, cells: Tensor) -> Tensor:
        """`[B, cells + 1, O]` to `[B, 2, D, T]`."""
        grid = self.config.grid
        first, *middle, last = self.map.children()
        cells = torch.relu(pointwise(first, cells))
        if self.config.map_kernel == 1:
            # Cells are independent: the invalid half of the map need not be computed.
            for layer in middle:
                cells = torch.relu(pointwise(layer, cells))
            return to_map(probability(pointwise(last, cells)), grid)
        image = to_map(cells, grid)
        for layer in middle:
            image = torch.relu(layer(image))
        return probability(last(image))


class GtadTask(MapTask):
    """The trainer's view of G-TAD."""

    def __init__(self, model: Gtad, config: Config, fingerprint: str = "") -> None:
        valid = valid_cells(config.length, config.durations)
        super().__init__(model, config, valid, fingerprint, count_extra=config.class_count_extra)


def targets(segments: Floats, config: Config, boundaries: Floats | None = None) -> dict[str, Tensor]:
    """Training targets of a video or window.

    Args:
        segments: `[N, 2]` in units of the video's length, 0 to 1.
        config: sizes, node cells.
        boundaries: `[N, 2]` starts and ends if they differ from the segments': those of a window are not clamped.

    Returns:
        `iou` `[D, T]`, `start` and `end` `[T]`, float32, the precision in which thresholds are applied.

    Paper: G-TAD section 3.4 (labels).
    """
    length = config.length
    boundaries = segments if boundaries is None else boundaries
    made = {"iou": iou_map(segments, length, config.durations)}
    for name, points in (("start", boundaries[:, 0]), ("end", boundaries[:, 1])):
        made[name] = boundary_map(points, length, cell_end=config.node_cell_end)
    return {name: torch.from_numpy(value.astype(np.float32)) for name, value in made.items()}


def selection(config: Config) -> Selection:
    """Segments of detections and proposals alike, scored by regression x classification.

    Paper: G-TAD section 4 (inference). The score of a detection is the decayed one x the video's class score.
    """

    def scored(maps: Maps) -> Scored:
        return scored_cells(maps["map"], maps["start"], maps["end"], config)

    return Selection(scored=scored, rule=Suppression(divisor=config.nms_divisor, keep=config.nms_keep))


def scored_cells(found: Floats, start: Floats, end: Floats, config: Config) -> tuple[Floats, Floats]:
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


METHOD = MapMethod(
    name="localise.gtad",
    title="G-TAD",
    network=Gtad,
    task=GtadTask,
    targets=targets,
    detections=selection,
    proposals=selection,
)
REFINES = False
train, infer, post_process, propose = METHOD.train, METHOD.infer, METHOD.post_process, METHOD.propose
candidates = METHOD.candidates
