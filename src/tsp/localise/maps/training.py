"""Training and inference of the methods that predict boundary scores and a map of segments.

B batch, C channels, T snippets, N segments; a map is `[rows, columns]`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsp import __version__
from tsp.encoders.weights import load_state, load_strict, save_encoder
from tsp.errors import TspError
from tsp.io.files import atomic, sha256
from tsp.localise.data import Rows, Subset, has_feature_frames, normalised_segments, read_subset
from tsp.localise.maps.targets import balanced, regression_loss
from tsp.localise.windows import Windows, window_labels
from tsp.progress import progress
from tsp.training import checkpoint
from tsp.training.checkpoint import config_hash
from tsp.training.config import TrainerConfig
from tsp.training.distributed import pick_device
from tsp.training.fit import LossTerm, fit
from tsp.training.seeds import seed_everything

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]
PARTS = ("map", "start", "end")


class MapConfig(Protocol):
    """What the methods' options have in common."""

    @property
    def length(self) -> int:
        """T."""

    @property
    def align_corners(self) -> bool:
        """Convention of the resampling in time."""

    @property
    def windows(self) -> Windows | None:
        """How long videos are cut; None: a whole video is one map."""

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
    """The trainer's view of such a network; its metric is the validation loss.

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
        """Node, regression and classification loss of a batch (gtad.md 5, bmn.md 6)."""
        # Sums of ten thousand cells need single precision.
        found, start, end = (part.float() for part in self.model(batch["features"]))
        iou, valid = batch["iou"], self.valid.to(found.device)
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
        """Mean over batches of each loss and of the total."""
        sums: dict[str, float] = {}
        n = 0
        for n, batch in enumerate(batches, 1):  # noqa: B007
            terms = self.loss(batch)
            values = {name: float(term.sum) for name, term in terms.items()}
            values["loss"] = sum(float(term.sum) * term.weight for term in terms.values())
            sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
        return {name: value / n for name, value in sums.items()}


def examples(
    subset: Subset, config: MapConfig, time_base: str, targets: Callable[[Floats, Floats], dict[str, Tensor]]
) -> Rows:
    """Features and targets of a subset, in memory; of windows, those that show most of an action.

    Args:
        subset: videos or windows with features.
        config: length and windows.
        time_base: see `normalised_segments`; windows are measured in frames.
        targets: actions `[N, 2]` in units of the video or window, for the map and for its boundaries, to named targets.

    Raises:
        TspError: no window shows enough of an action.
    """
    if config.windows is not None:
        return _window_examples(subset, config.length, config.windows, targets)
    unstated = sum(not has_feature_frames(video) for video in subset.videos)
    if time_base == "feature_frames" and unstated:
        log.info("%d of %d videos state no feature_frame: their duration is used", unstated, len(subset.videos))
    segments = [normalised_segments(video, time_base) for video in subset.videos]
    return _rows(subset.features, [targets(found, found) for found in segments])


def _window_examples(
    subset: Subset, length: int, windows: Windows, targets: Callable[[Floats, Floats], dict[str, Tensor]]
) -> Rows:
    pairs = zip(subset.videos, subset.windows, strict=True)
    labels = [window_labels(video, window, length, windows) for video, window in pairs]
    kept = [row for row, found in enumerate(labels) if found.covered > windows.coverage]
    if not kept:
        raise TspError(f"none of {len(labels)} windows holds more than {windows.coverage:g} of an action")
    log.info("%d of %d windows hold more than %g of an action", len(kept), len(labels), windows.coverage)
    return _rows(subset.features[kept], [targets(labels[row].segments, labels[row].boundaries) for row in kept])


def _rows(features: NDArray[np.float32], maps: list[dict[str, Tensor]]) -> Rows:
    stacked = {name: torch.stack([m[name] for m in maps]) for name in maps[0]}
    return Rows({"features": torch.from_numpy(features), **stacked})


@dataclass(frozen=True, kw_only=True)
class Method:
    """The parts of a method that training and inference need.

    Args:
        name: its module, for provenance.
        model: feature channels -> network.
        task: network and fingerprint -> task.
        examples: subset -> features and targets.
    """

    name: str
    model: Callable[[int], nn.Module]
    task: Callable[[Any, str], MapTask]
    examples: Callable[[Subset], Rows]

    @property
    def producer(self) -> str:
        """What the files it writes carry."""
        return f"tsp {__version__} {self.name}"


def train(
    method: Method,
    config: Any,
    *,
    train_features: Path,
    valid_features: Path,
    annotations: Path,
    subsets: dict[str, str],
    seed: int,
    weights: Path,
    work: Path,
    device: str | None,
) -> None:
    """See `method.Method.train`."""
    files = {"train": train_features, "valid": valid_features}
    read = {name: _read(config, path, annotations, subsets[name]) for name, path in files.items()}
    for name, subset in read.items():
        if not any(video.segments for video in subset.videos):
            raise TspError(f"{annotations}: subset {subsets[name]!r} has features but no annotated action")
    seed_everything(seed)
    model = method.model(read["train"].features.shape[1])
    inputs = {"train_features": train_features, "valid_features": valid_features, "annotations": annotations}
    hashes = {name: sha256(path) for name, path in inputs.items()}
    own = {name: value for name, value in asdict(config).items() if name != "trainer"}
    task = method.task(model, config_hash(config.trainer, own=own, inputs=hashes))
    data = {name: method.examples(subset) for name, subset in read.items()}
    trainer = replace(config.trainer, seed=seed)
    result = fit(task, data["train"], data["valid"], trainer, work, device=device)
    with atomic(weights.with_name(checkpoint.LOG)) as temporary:
        temporary.write_bytes((work / checkpoint.LOG).read_bytes())
    facts = {"config": asdict(config), "seed": seed, "inputs_sha256": hashes, "best_epoch": result.best_epoch}
    save_encoder(weights, result.state, {**facts, "epochs": result.history})
    checkpoint.clear(work)


def _group(file: h5py.File, data: Subset, row: int) -> h5py.Group:
    group = file.require_group(data.videos[row].name)
    if not data.windows:
        return group
    window = data.windows[row]
    group.attrs.update(fps=window.fps, frames=window.frames)
    return group.create_group(str(window.first))


def _read(config: MapConfig, features: Path, annotations: Path, subset: str) -> Subset:
    options = {"align_corners": config.align_corners, "windows": config.windows}
    return read_subset(features, annotations, subset, config.length, **options)  # type: ignore[arg-type]


@torch.inference_mode()
def infer(
    method: Method,
    config: MapConfig,
    *,
    weights: Path,
    features: Path,
    annotations: Path,
    subset: str,
    output: Path,
    device: str | None,
) -> None:
    """See `method.Method.infer`: `map` `[2, rows, columns]`, `start`, `end` `[T]`, float32, in a group per video.

    With windows a video's group holds a group per window, named by its first snippet, and states `fps` and `frames`.
    """
    data = _read(config, features, annotations, subset)
    target = pick_device(device)
    model = method.model(data.features.shape[1])
    load_strict(model, load_state(weights), weights)
    model.eval().to(target)
    size = config.trainer.batch_size
    with atomic(output) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(producer=method.producer, weights_sha256=sha256(weights), features_sha256=sha256(features))
        for at in progress(range(0, len(data.videos), size), desc="infer", unit="batch"):
            batch = torch.from_numpy(data.features[at : at + size]).to(target)
            found = [part.float().cpu().numpy() for part in model(batch)]
            for row in range(len(batch)):
                group = _group(file, data, at + row)
                for name, values in zip(PARTS, found, strict=True):
                    group.create_dataset(name, data=values[row], compression="gzip", compression_opts=1)
