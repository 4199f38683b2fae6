"""P-GCN: graph convolutions over the proposals of another localiser (Zeng et al., ICCV 2019).

B videos of a batch, R roots of a video, M nodes of a root's drawn neighbourhood, n proposals, D channels of a feature,
K classes. Label 0 is background; completeness and regression of label c are columns c - 1.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tsp import __version__
from tsp.encoders.weights import load_state, load_strict
from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.files import sha256
from tsp.localise.fitting import fit_and_save
from tsp.localise.labels import read_video_scores
from tsp.localise.method import Raw, SubsetInputs, TrainingInputs
from tsp.localise.pgcn.config import Config
from tsp.localise.pgcn.data import Neighbourhoods, Trainable, inference_inputs, list_of, read_source, split, trainables
from tsp.localise.pgcn.detections import (
    Outputs,
    Refined,
    class_shares,
    refined,
    refined_proposals,
    write_outputs,
    write_refined,
)
from tsp.localise.pgcn.graphs import GraphNetwork, expand
from tsp.localise.pgcn.proposal_lists import class_names
from tsp.localise.pgcn.proposal_types import BACKGROUND, FOREGROUND, target_statistics
from tsp.training.distributed import pick_device
from tsp.training.fit import LossTerm
from tsp.training.seeds import item_rng

__all__ = ["POST_PROCESS", "REFINES", "Config", "Pgcn", "PgcnTask", "infer", "post_process", "propose", "train"]
log = logging.getLogger(__name__)
POST_PROCESS = ("top", "nms_threshold", "nms", "video_classes")
REFINES = True
PRODUCER = f"tsp {__version__} localise.pgcn"
# Roots whose sampled neighbourhoods are in memory at a time.
ROOTS = 128


class Pgcn(nn.Module):
    """The network: two graph networks and three heads.

    Args:
        channels: D.
        classes: K.
        config: widths and dropout.

    Paper: P-GCN section 3.3.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, classes: int, config: Config) -> None:
        super().__init__()
        self.channels, self.classes = channels, classes
        self.act = GraphNetwork(channels, config.hidden, config.graph_dropout)
        self.comp = GraphNetwork(3 * channels, config.hidden, config.graph_dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.activity = nn.Linear(2 * channels, classes + 1)
        self.completeness = nn.Linear(6 * channels, classes)
        self.regression = nn.Linear(6 * channels, 2 * classes)
        for head in (self.activity, self.completeness, self.regression):
            nn.init.normal_(head.weight, std=0.001)
            nn.init.zeros_(head.bias)
        # Statistics of the regression targets, saved with the weights.
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("deviation", torch.ones(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Roots with their drawn neighbourhoods.

        Args:
            x: `[R, M, 3 D]` context before, course, context after.

        Returns:
            Activity `[R, K + 1]`, completeness `[R, K]`, standardised regression `[R, K, 2]`.
        """
        return self._heads(x[:, 0], self.act(self._course(x)), self.comp(x))

    def whole(self, x: Tensor, slots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Every proposal with all its neighbours: `x` `[n, 3 D]` and `slots` `[n, 10]`; outputs as `forward`."""
        return self._heads(x, self.act.whole(self._course(x), slots), self.comp.whole(x, slots))

    def _course(self, x: Tensor) -> Tensor:
        return x[..., self.channels : 2 * self.channels]

    def _heads(self, x: Tensor, act: Tensor, comp: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        both = torch.cat([comp, x], dim=1)
        activity = self.activity(self.dropout(torch.cat([act, self._course(x)], dim=1)))
        return activity, self.completeness(both), self.regression(both).view(len(x), self.classes, 2)


class PgcnTask:
    """The trainer's view of P-GCN; its metric is the loss of drawn samples.

    Differs: validation losses are means over all proposals that count; the released code averages the means of the
        batches, weighted by their videos.
    """

    metric = "loss"
    higher_is_better = False

    def __init__(self, model: Pgcn, config: Config, fingerprint: str = "") -> None:
        self.model, self.config, self.fingerprint = model, config, fingerprint

    def param_groups(self) -> list[dict[str, Any]]:
        """Weights, and biases at twice the rate without decay."""
        named = list(self.model.named_parameters())
        biases = [p for name, p in named if name.rpartition(".")[2].startswith("bias")]
        weights = [p for name, p in named if not name.rpartition(".")[2].startswith("bias")]
        return [
            {"params": weights, "lr": self.config.lr, "name": "weights"},
            {"params": biases, "lr": 2 * self.config.lr, "name": "biases", "weight_decay": 0.0},
        ]

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, LossTerm]:
        """Activity, completeness and regression loss of a batch, see `Neighbourhoods`."""
        videos, roots = batch["label"].shape
        activity, completeness, regression = (x.float() for x in self.model(batch["features"].flatten(0, 1)))
        c = self.config
        return {
            "activity": activity_loss(activity.view(videos, roots, -1), batch),
            "completeness": completeness_loss(completeness.view(videos, roots, -1), batch, c),
            "regression": regression_loss(regression.view(videos, roots, -1, 2), batch, c.regression_weight),
        }

    def validate(self, batches: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
        """Each loss and the total over all batches."""
        sums: dict[str, tuple[float, float, float]] = {}
        for batch in batches:
            for name, term in self.loss(batch).items():
                total, count, _ = sums.get(name, (0.0, 0.0, 0.0))
                sums[name] = (total + float(term.sum), count + float(term.count), term.weight)
        values = {name: total / max(count, 1.0) for name, (total, count, _) in sums.items()}
        return {**values, "loss": sum(weight * values[name] for name, (_, _, weight) in sums.items())}


def activity_loss(scores: Tensor, batch: Mapping[str, Tensor]) -> LossTerm:
    """Cross-entropy of foreground and background roots.

    Args:
        scores: `[B, R, K + 1]`.
        batch: `label`, `type`, `used`, each `[B, R]`.

    Paper: P-GCN section 3.4, equation 6.
    """
    chosen = batch["used"] & ((batch["type"] == FOREGROUND) | (batch["type"] == BACKGROUND))
    loss = functional.cross_entropy(scores[chosen], batch["label"][chosen], reduction="sum")
    return LossTerm(loss, chosen.sum().float())


def completeness_loss(scores: Tensor, batch: Mapping[str, Tensor], config: Config) -> LossTerm:
    """Hinge loss at the roots' own classes: foreground against the hardest incomplete roots of each video.

    Args:
        scores: `[B, R, K]`.
        batch: `label` and `used` `[B, R]`; what a root counts as follows from its place.
        config: numbers of roots, share of hard negatives, weight.

    Paper: P-GCN section 3.4, equation 7 (online hard example mining).
    Differs: the mean is over the number of negatives rounded once per batch, as released.
    """
    positives, negatives, _ = config.roots
    judged = slice(0, positives + negatives)
    used = batch["used"][:, judged]
    own = batch["label"][:, judged].clamp_min(1) - 1
    score = scores[:, judged].gather(2, own[..., None])[..., 0]
    good = functional.relu(1 - score[:, :positives]) * used[:, :positives]
    bad = functional.relu(1 + score[:, positives:]) * used[:, positives:]
    kept = min(negatives, max(int(negatives * config.hard_negatives), 1))
    total = good.sum() + bad.topk(kept, dim=1).values.sum()
    n_bad = used[:, positives:].sum().double()
    n_kept = torch.floor(n_bad * config.hard_negatives).clamp_min(1) * (n_bad > 0)
    return LossTerm(total, used[:, :positives].sum() + n_kept, config.completeness_weight)


def regression_loss(found: Tensor, batch: Mapping[str, Tensor], weight: float) -> LossTerm:
    """Smooth L1 of the pair of a foreground root's own class, summed over the pair.

    Args:
        found: `[B, R, K, 2]`.
        batch: `label`, `type`, `used` `[B, R]`, standardised `target` `[B, R, 2]`.
        weight: of the loss.

    Paper: P-GCN section 3.4, equation 8.
    """
    chosen = batch["used"] & (batch["type"] == FOREGROUND)
    own = batch["label"][chosen] - 1
    pairs = found[chosen][torch.arange(len(own), device=own.device), own]
    loss = functional.smooth_l1_loss(pairs, batch["target"][chosen], reduction="sum")
    return LossTerm(loss, chosen.sum().float(), weight)


def train(
    config: Config,
    inputs: TrainingInputs,
    *,
    seed: int,
    weights: Path,
    work: Path,
    device: str | None = None,
) -> None:
    """See `method.Method.train`."""
    train, valid = inputs.train, inputs.valid
    classes = class_names(read_annotations(train.annotations))
    files = {"train_features": train.features, "train_proposals": list_of(train), "annotations": train.annotations}
    if config.watch == "valid":
        files |= {"valid_features": valid.features, "valid_proposals": list_of(valid)}
    sources = read_source(config, train)
    watched: list[Trainable] = []
    if config.watch == "held_out":
        sources, held_out = split(sources, config.held_out, seed)
        watched = trainables(config, held_out, train.features)
    elif config.watch == "valid":
        watched = trainables(config, read_source(config, valid), valid.features)
    videos = trainables(config, sources, train.features)
    statistics = target_statistics(v.pools for v in videos)
    size, repeat = config.trainer.batch_size, config.multiplier
    samples = Neighbourhoods(videos, config, statistics, seed, repeat=repeat, batch=size)
    seen = Neighbourhoods(watched, config, statistics, seed) if watched else None

    def make_task(fingerprint: str) -> PgcnTask:
        model = _model(videos[0].features.shape[1], classes, config)
        for buffer, value in zip((model.mean, model.deviation), statistics, strict=True):
            buffer.copy_(torch.from_numpy(value))
        return PgcnTask(model, config, fingerprint)

    fit_and_save(
        make_task,
        (samples, seen),
        config,
        inputs=files,
        facts={"classes": classes},
        seed=seed,
        weights=weights,
        work=work,
        device=device,
    )


def _model(width: int, classes: Sequence[str], config: Config) -> Pgcn:
    """`width`: 3 D."""
    return Pgcn(width // 3, len(classes), config)


def infer(config: Config, inputs: SubsetInputs, *, weights: Path, output: Path, device: str | None = None) -> None:
    """See `method.Method.infer`: per video a group with the arrays of `detections.Outputs`."""
    classes = class_names(read_annotations(inputs.annotations))
    sources = read_source(config, inputs)
    files = {"weights": weights, "features": inputs.features, "proposals": list_of(inputs)}
    facts = {f"{name}_sha256": sha256(path) for name, path in files.items()}
    found = _predict(config, weights, classes, inference_inputs(config, sources, inputs.features), device)
    write_outputs(output, found, classes, {"producer": PRODUCER, **facts})


@torch.inference_mode()
def _predict(
    config: Config, weights: Path, classes: Sequence[str], videos: Iterable[tuple[Any, Any, Any]], device: str | None
) -> Iterator[Outputs]:
    target, model = pick_device(device), None
    for number, (source, features, slots) in enumerate(videos):
        if model is None:
            model = _model(features.shape[1], classes, config)
            load_strict(model, load_state(weights), weights)
            model.eval().to(target)
        activity, completeness, regression = outputs(config, model, features, slots, number)
        yield Outputs(
            name=source.video.name,
            duration_s=source.duration_s,
            segments=source.listed.segments / source.listed.n_frames,
            activity=activity.double().cpu().numpy(),
            completeness=completeness.double().cpu().numpy(),
            regression=(regression * model.deviation + model.mean).double().cpu().numpy(),
        )


def outputs(
    config: Config, model: Pgcn, features: NDArray[np.float32], slots: NDArray[np.int64], number: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs of every proposal of a video, as `Pgcn.forward` with R = n.

    Args:
        config: all neighbours, or drawn ones as released.
        model: in evaluation mode.
        features: `[n, 3 D]`.
        slots: `[n, 10]`.
        number: of the video; the draws depend on it alone.
    """
    device = model.mean.device
    x = torch.from_numpy(features).to(device)
    if config.neighbours == "all":
        return model.whole(x, torch.from_numpy(slots).to(device))
    nodes = torch.from_numpy(expand(np.arange(len(x)), slots, config.children, item_rng(0, 0, number))).to(device)
    parts = [model(x[some]) for some in nodes.split(ROOTS)]
    activity, completeness, regression = (torch.cat(part) for part in zip(*parts, strict=True))
    return activity, completeness, regression


def post_process(config: Config, raw: Raw, *, labels: Path | None, output: Path) -> None:
    """See `method.Method.post_process`; without `labels` the classes are P-GCN's.

    Paper: P-GCN sections 3.3 and 4.1.
    Differs: the paper's rule for video-level scores on ActivityNet is not released; here they multiply the scores of
        the video's `video_classes` best classes.
    """
    if config.video_classes is not None and labels is None:
        raise TspError("video_classes: needs video-level scores, `labels` of the experiment")
    scores = read_video_scores(labels) if labels is not None and config.video_classes is not None else None
    facts: dict[str, Any] = {"producer": PRODUCER, "raw_sha256": sha256(raw.path)}
    if scores is not None and labels is not None:
        facts["labels_sha256"] = sha256(labels)

    def found(video: Outputs, classes: list[str]) -> Refined:
        return refined(config, video, None if scores is None else class_shares(config, video.name, classes, scores))

    write_refined(raw, output, facts, found, labelled=True)


def propose(config: Config, raw: Raw, *, output: Path) -> None:
    """See `method.Method.propose`: every proposal once, refined and scored by its best class."""
    facts = {"producer": PRODUCER, "raw_sha256": sha256(raw.path)}

    def found(video: Outputs, _: list[str]) -> Refined:
        return refined_proposals(config, video)

    write_refined(raw, output, facts, found, labelled=False)
