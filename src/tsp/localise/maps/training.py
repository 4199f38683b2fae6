"""The trainer's view of the methods with boundary scores and a map of segments, and their examples.

B batch, C channels, T snippets, N segments; a map is `[rows, columns]`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsp.errors import TspError
from tsp.localise.data import Rows, Subset, has_feature_frames, normalised_segments
from tsp.localise.maps.targets import balanced, regression_loss
from tsp.localise.windows import Windows, window_labels
from tsp.training.config import TrainerConfig
from tsp.training.fit import LossTerm

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]


class MapConfig(Protocol):
    """The options that all these methods have."""

    @property
    def length(self) -> int:
        """T."""

    @property
    def align_corners(self) -> bool:
        """Convention of the resampling in time."""

    @property
    def windows(self) -> Windows | None:
        """Cutting of long videos; None: a whole video is one map."""

    @property
    def time_base(self) -> str:
        """Length by which labels are normalised, see `normalised_segments`."""

    @property
    def lr(self) -> float:
        """Learning rate."""

    @property
    def regression_weight(self) -> float:
        """Factor of the regression loss."""

    @property
    def classification_weight(self) -> float:
        """Factor of the classification loss."""

    @property
    def trainer(self) -> TrainerConfig:
        """Epochs, batch, optimiser, schedule."""


class MapTask:
    """The trainer's view of a network; its metric is the validation loss.

    Args:
        model: `[B, C, T]` to map `[B, 2, rows, columns]`, starts `[B, T]` and ends `[B, T]`, all in 0 to 1.
        config: rate and weights.
        valid: `[rows, columns]` cells that are segments.
        fingerprint: of options and inputs.
        count_extra: added to the counts of positive and negative cells of the classification.
        zero_is_low: cells without overlap count among those of low tIoU in the regression.
    """

    metric = "loss"
    higher_is_better = False

    def __init__(
        self,
        model: nn.Module,
        config: MapConfig,
        valid: NDArray[np.bool_],
        fingerprint: str = "",
        *,
        count_extra: int = 0,
        zero_is_low: bool = False,
    ) -> None:
        self.model, self.config, self.fingerprint = model, config, fingerprint
        self.valid = torch.from_numpy(valid)
        self.count_extra, self.zero_is_low = count_extra, zero_is_low

    def param_groups(self) -> list[dict[str, Any]]:
        """All parameters at one rate."""
        return [{"params": list(self.model.parameters()), "lr": self.config.lr, "name": "all"}]

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Node, regression and classification loss of a batch.

        Paper: G-TAD section 3.4, BMN section 3.4 (training).
        """
        # Summing ten thousand cells needs single precision.
        found, start, end = (part.float() for part in self.model(batch["features"]))
        self.valid = self.valid.to(found.device)
        iou, valid = batch["iou"], self.valid
        node = found.new_zeros(())
        for p, target in ((start, batch["start"]), (end, batch["end"])):
            node = node + balanced(p, target > 0.5, target <= 0.5)
        positive = iou > 0.9
        negative = (iou <= 0.9) & valid
        zero = (iou == 0) & valid if self.zero_is_low else None
        return {
            "node": node,
            "regression": regression_loss(found[:, 0], iou, zero),
            "classification": balanced(found[:, 1], positive, negative, extra=self.count_extra),
        }

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, LossTerm]:
        """Weighted losses; they are normalised over the whole batch, hence a count of 1."""
        weights = {"regression": self.config.regression_weight, "classification": self.config.classification_weight}
        return {name: LossTerm(value, 1.0, weights.get(name, 1.0)) for name, value in self.losses(batch).items()}

    def validate(self, batches: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
        """Mean over batches of each loss and of the total, as in the released code of both methods."""
        sums: dict[str, Tensor] = {}
        n = 0
        for n, batch in enumerate(batches, 1):  # noqa: B007
            terms = self.loss(batch)
            values = {name: term.sum.double() for name, term in terms.items()}
            values["loss"] = sum((values[name] * term.weight for name, term in terms.items()), torch.zeros(()))
            sums = {name: sums.get(name, torch.zeros(())) + value for name, value in values.items()}
        return {name: float(value) / n for name, value in sums.items()}


def examples(subset: Subset, config: MapConfig, targets: Callable[[Floats, Floats], dict[str, Tensor]]) -> Rows:
    """Features and targets of a subset, in memory; of windows, those that contain most of an action.

    Args:
        subset: videos or windows with features.
        config: length, windows, and the time base of whole videos; windows are measured in frames.
        targets: actions `[N, 2]` in units of the video or window, for the map and for its boundaries, to named targets.

    Raises:
        TspError: no window contains enough of an action.
    """
    if config.windows is not None:
        return _window_examples(subset, config.length, config.windows, targets)
    segments = (normalised_segments(video, config.time_base) for video in subset.videos)
    return _rows(subset.features, (targets(found, found) for found in segments))


def time_base_warnings(subsets: Mapping[str, Subset], config: MapConfig) -> list[str]:
    """A sentence on the videos whose labels are measured by their duration although `feature_frames` is asked for.

    Args:
        subsets: by the annotations' name of them.
        config: windows are measured in frames, so that they need none.

    Returns:
        One sentence with the counts of each subset, or none.
    """
    if config.windows is not None or config.time_base != "feature_frames":
        return []
    unstated = {name: sum(not has_feature_frames(v) for v in subset.videos) for name, subset in subsets.items()}
    if not any(unstated.values()):
        return []
    counts = " and ".join(f"{n} of {len(subsets[name].videos)} {name}" for name, n in unstated.items())
    return [
        f"time_base feature_frames: the annotations of {counts} videos state no numbers of frames; their duration is"
        " used instead (docs/formats/annotations.md)"
    ]


def _window_examples(
    subset: Subset, length: int, windows: Windows, targets: Callable[[Floats, Floats], dict[str, Tensor]]
) -> Rows:
    pairs = zip(subset.videos, subset.windows, strict=True)
    labels = [window_labels(video, window, length, windows) for video, window in pairs]
    kept = [row for row, found in enumerate(labels) if found.covered > windows.coverage]
    if not kept:
        raise TspError(f"none of {len(labels)} windows contains more than {windows.coverage:g} of an action")
    log.info("%d of %d windows contain more than %g of an action", len(kept), len(labels), windows.coverage)
    return _rows(subset.features[kept], (targets(labels[row].segments, labels[row].boundaries) for row in kept))


def _rows(features: NDArray[np.float32], maps: Iterable[dict[str, Tensor]]) -> Rows:
    """Rows of features and, made one after the other, of named targets."""
    rows = {"features": torch.from_numpy(features)}
    for k, made in enumerate(maps):
        for name, target in made.items():
            if name not in rows:
                rows[name] = target.new_empty((len(features), *target.shape))
            rows[name][k] = target
    return Rows(rows)
