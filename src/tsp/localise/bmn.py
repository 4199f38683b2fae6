"""BMN: boundary-matching network for temporal action proposals (Lin et al., ICCV 2019), and its detections.

B batch, C feature channels, P channels before matching, T snippets, D durations, V videos. A segment runs from its
first to its last snippet, [first, last + 1); the map's rows and columns are those two, or duration - 1 and first.
"""

import functools
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsp.errors import TspError
from tsp.localise.data import duration_s, snippet_duration_s
from tsp.localise.maps.detections import Maps, Selection
from tsp.localise.maps.matching import Layout, MatchingGrid, SampledEnd, match_and_mix
from tsp.localise.maps.method import MapMethod
from tsp.localise.maps.sampling import pointwise, probability, to_map
from tsp.localise.maps.targets import best_tiou, boundary_map, peaks
from tsp.localise.maps.training import MapTask
from tsp.localise.nms import Scored, Suppression
from tsp.localise.windows import AFTER_INFERENCE, Windows
from tsp.training.config import TrainerConfig

Floats = NDArray[np.float64]
POST_PROCESS: tuple[str, ...] = (
    "candidates",
    "end_node",
    "end_at_border",
    "proposal_nms_above",
    "proposal_nms_divisor",
)
POST_PROCESS += ("proposal_time_base", "detection_nms_divisor", "boundary_in_detections", "nms_keep", "classes")
POST_PROCESS += AFTER_INFERENCE


@dataclass(frozen=True, kw_only=True)
class BmnTrainer(TrainerConfig):
    """The trainer with the TSP author's values for ActivityNet. `keep: last` is the rule of BMN's own repository."""

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
    milestones: tuple[int, ...] = (7,)
    """Epochs from which the rate is multiplied by `gamma`."""
    gamma: float = 0.1
    """Factor of a milestone."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of BMN. Defaults: ActivityNet with TSP features, as the TSP author ran it (2020 code).

    The 2019 code of that repository: layout duration_start, sampled_end last, node_cell [-0.5, 1.5], candidates peaks,
    lr 1.0e-3, 9 epochs. The BMN authors' own: likewise, but node_cell [0, 1], candidates padded_peaks, end_node last,
    end_at_border true, matching_channels 128, zero_is_low true, both time bases duration, proposal_nms_above [0.55,
    0.9].
    """

    length: int = 100
    """T: snippets that a video's features are resampled to."""
    durations: int = 100
    """D: longest segment in snippets."""
    align_corners: bool = False
    """Convention of the resampling in time; the paper does not state it."""
    layout: Layout = "start_end"
    """Axes of the map: first and last snippet, or duration and start; they decide which cells are neighbours."""
    sampled_end: SampledEnd = "next"
    """A segment's features are sampled up to the snippet after its last, or up to its last."""
    bins: int = 32
    """Samples of a segment, each the mean of 3 points."""
    hidden_1d: int = 256
    """Channels over time."""
    matching_channels: int = 256
    """P: channels that are sampled: 256 in released code, 128 in the paper."""
    hidden_3d: int = 512
    """Channels of the first map layer."""
    hidden_2d: int = 128
    """Channels of the other map layers."""
    groups: int = 4
    """Groups of the convolutions over time."""
    node_cell: tuple[float, float] = (-0.5, 0.5)
    """Node i covers [i + first, i + second] snippets in the boundary targets."""
    windows: Windows | None = None
    """Cut long videos into windows of `length` snippets, as on THUMOS14; null: resample each video to `length`."""
    time_base: Literal["feature_frames", "duration"] = "feature_frames"
    """Length that normalises labels: that of the annotation's feature frames (released), or the video's duration."""
    lr: float = 5e-4
    """Learning rate."""
    regression_weight: float = 10.0
    """Factor of the regression loss."""
    classification_weight: float = 1.0
    """Factor of the classification loss."""
    zero_is_low: bool = False
    """Cells without overlap count among those of low tIoU in the regression loss."""
    candidates: Literal["all", "peaks", "padded_peaks"] = "all"
    """Boundaries of proposals: all snippets; peaks of the boundary scores; peaks including first and last snippet."""
    end_node: Literal["next", "last"] = "next"
    """Node that scores the end of a segment: that after its last snippet, or its last."""
    end_at_border: bool = False
    """Also propose segments that end with the video; their end is scored by the last node if there is none after it."""
    proposal_nms_above: tuple[float, float] = (0.5, 0.9)
    """Soft-NMS of proposals: decay where the tIoU is above a + (b - a) x the length, as a share of the video."""
    proposal_nms_divisor: float = 0.4
    """Soft-NMS of proposals: scores decay by exp(-tIoU^2 / divisor)."""
    proposal_time_base: Literal["snippets", "duration"] = "snippets"
    """Seconds of proposals: of whole 16-frame snippets of the annotation's frames (released), or of the video."""
    detection_nms_divisor: float = 0.85
    """Soft-NMS of detections; scores decay wherever segments overlap."""
    boundary_in_detections: bool = False
    """Multiply boundary scores into the scores of detections; TSP's code does not."""
    nms_keep: int = 100
    """Number of segments kept per video."""
    classes: int = 1
    """Number of video-level classes assigned to each segment."""
    trainer: BmnTrainer = field(default_factory=BmnTrainer)
    """Epochs, batch, optimiser, schedule."""

    def __post_init__(self) -> None:
        """Reject sizes that do not fit the grid or the grouped convolutions."""
        if not 1 <= self.durations <= self.length or self.length < 3:
            raise ValueError(f"durations {self.durations} and length {self.length}: expected 1 <= durations <= length")
        if self.bins < 1:
            raise ValueError(f"bins {self.bins}: expected at least 1")
        if self.groups < 1 or self.hidden_1d % self.groups:
            raise ValueError(f"hidden_1d {self.hidden_1d} must be a multiple of groups {self.groups}")
        if not self.node_cell[0] < self.node_cell[1]:
            raise ValueError(f"node_cell {list(self.node_cell)}: expected first < second")

    @functools.cached_property
    def grid(self) -> MatchingGrid:
        """Geometry of the map."""
        return MatchingGrid(self.length, self.durations, self.bins, self.layout, self.sampled_end)


class Bmn(nn.Module):
    """The network: boundary scores and the map of segments.

    Paper: BMN section 3.3.
    Differs: as the released code, two branches for starts and ends and 256 channels after the base; the paper's table
        has one branch and 128.
    """

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        if channels % config.groups:
            raise TspError(f"BMN: {channels} feature channels are no multiple of groups {config.groups}")
        c, self.config = config, config

        def over_time(inputs: int) -> list[nn.Module]:
            return [nn.Conv1d(inputs, c.hidden_1d, 3, padding=1, groups=c.groups), nn.ReLU()]

        def boundary() -> nn.Sequential:
            return nn.Sequential(*over_time(c.hidden_1d), nn.Conv1d(c.hidden_1d, 1, 1))

        self.base = nn.Sequential(*over_time(channels), *over_time(c.hidden_1d))
        self.start, self.end = boundary(), boundary()
        self.reduce = nn.Sequential(nn.Conv1d(c.hidden_1d, c.matching_channels, 3, padding=1), nn.ReLU())
        self.mix = nn.Conv3d(c.matching_channels, c.hidden_3d, (c.bins, 1, 1), stride=(c.bins, 1, 1))
        self.first = nn.Conv2d(c.hidden_3d, c.hidden_2d, 1)
        self.map = nn.Sequential(
            nn.Conv2d(c.hidden_2d, c.hidden_2d, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c.hidden_2d, c.hidden_2d, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c.hidden_2d, 2, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boundary scores and the map.

        Args:
            x: features `[B, C, T]`.

        Returns:
            Map `[B, 2, T, T]` or `[B, 2, D, T]` (trained by regression, by classification), starts `[B, T]`, ends
            `[B, T]`.
        """
        base, grid = self.base(x), self.config.grid
        assert self.mix.bias is not None
        cells = match_and_mix(self.reduce(base), self.mix.weight, self.mix.bias, grid)
        # Invalid cells hold the biases, which the 3x3 convolutions spread to their neighbours, as released.
        cells = torch.relu(pointwise(self.first, torch.relu(cells)))
        found = self.map(to_map(cells, grid.valid)), self.start(base)[:, 0], self.end(base)[:, 0]
        return tuple(probability(part) for part in found)  # type: ignore[return-value]


class BmnTask(MapTask):
    """The trainer's view of BMN.

    Paper: BMN section 3.4 (training).
    Differs: batches without any positive, which the released losses turn into NaN, add 0.
    """

    def __init__(self, model: Bmn, config: Config, fingerprint: str = "") -> None:
        super().__init__(model, config, config.grid.valid, fingerprint, zero_is_low=config.zero_is_low)


def targets(segments: Floats, config: Config, boundaries: Floats | None = None) -> dict[str, Tensor]:
    """Training targets of a video or window.

    Args:
        segments: `[N, 2]` in units of the video's length, 0 to 1.
        config: sizes, layout, node cells.
        boundaries: `[N, 2]` starts and ends if they differ from the segments': those of a window are not clamped.

    Returns:
        `iou` in the map's layout, `start` and `end` `[T]`, float32, the precision in which thresholds are applied.

    Paper: BMN section 3.4 (labels).
    """
    gap, grid = 1.0 / config.length, config.grid
    first, last = grid.cells
    begin = first * gap
    stop = (last + 1) * gap if config.layout == "start_end" else begin + (last - first + 1) * gap
    iou = np.zeros(grid.valid.shape)
    iou[grid.valid] = best_tiou(segments, begin, stop)
    boundaries = segments if boundaries is None else boundaries
    made, (low, high) = {"iou": iou}, config.node_cell
    for name, points in (("start", boundaries[:, 0]), ("end", boundaries[:, 1])):
        made[name] = boundary_map(points, config.length, cell_start=low, cell_end=high)
    return {name: torch.from_numpy(value.astype(np.float32)) for name, value in made.items()}


def detections(config: Config) -> Selection:
    """Segments of detections, scored by regression x classification; `boundary_in_detections` adds start x end.

    Paper: BMN section 3.5 and TSP's released code, which leaves the boundary scores out of detections.
    """

    def scored(maps: Maps) -> Scored:
        made = scored_cells(maps["map"], maps["start"], maps["end"], config)
        return made.segments, made.score if config.boundary_in_detections else made.map_score

    return Selection(scored=scored, rule=Suppression(divisor=config.detection_nms_divisor, keep=config.nms_keep))


def proposals(config: Config) -> Selection:
    """Proposals, scored by start x end x classification x regression.

    Scores decay where segments overlap more than their length allows.

    Paper: BMN section 3.5 (score fusion, Soft-NMS).
    """

    def scored(maps: Maps) -> Scored:
        made = scored_cells(maps["map"], maps["start"], maps["end"], config)
        return made.segments, made.score

    rule = Suppression(divisor=config.proposal_nms_divisor, keep=config.nms_keep, above=config.proposal_nms_above)
    length_s = snippet_duration_s if config.proposal_time_base == "snippets" else duration_s
    return Selection(scored=scored, rule=rule, length_s=length_s)


@dataclass(frozen=True)
class ScoredCells:
    """Segments of a video before suppression.

    Args:
        segments: `[N, 2]` in units of the video's length.
        score: `[N]` start x end x classification x regression.
        map_score: `[N]` classification x regression.
    """

    segments: Floats
    score: Floats
    map_score: Floats


def scored_cells(found: Floats, start: Floats, end: Floats, config: Config) -> ScoredCells:
    """Scored segments between candidate boundaries.

    Args:
        found: `[2, rows, columns]` regression and classification.
        start: `[T]` start scores.
        end: `[T]` end scores.
        config: which boundaries, which node scores an end, whether segments may end with the video.
    """
    length = config.length
    regression, classification = found[:, config.grid.valid]
    first, last = config.grid.cells
    node = np.minimum(last + 1, length - 1) if config.end_node == "next" else last
    kept = (last + 1 < length) | config.end_at_border
    if config.candidates != "all":
        kept &= _is_boundary(start, config, always=0)[first] & _is_boundary(end, config, always=-1)[node]
    first, last, node = first[kept], last[kept], node[kept]
    regression, classification = regression[kept], classification[kept]
    return ScoredCells(
        segments=np.stack([first, last + 1], axis=1) / length,
        score=start[first] * end[node] * classification * regression,
        map_score=classification * regression,
    )


def _is_boundary(scores: Floats, config: Config, always: int) -> NDArray[np.bool_]:
    found = peaks(np.pad(scores, 1))[1:-1] if config.candidates == "padded_peaks" else peaks(scores)
    found[always] = True
    return found


METHOD = MapMethod(
    name="localise.bmn",
    title="BMN",
    network=Bmn,
    task=BmnTask,
    targets=targets,
    detections=detections,
    proposals=proposals,
)
REFINES = False
train, infer, post_process, propose = METHOD.train, METHOD.infer, METHOD.post_process, METHOD.propose
candidates = METHOD.candidates
