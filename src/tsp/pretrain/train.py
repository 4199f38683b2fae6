"""Run a pretraining: train an encoder with TSP or TAC heads, or convert released weights."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tsp.encoders.config import EncoderConfig
from tsp.encoders.weights import (
    HEADS,
    PREFIX,
    State,
    build_encoder,
    encoder_state,
    load_state,
    load_strict,
    save_encoder,
)
from tsp.errors import TspError
from tsp.io.files import atomic, sha256
from tsp.pretrain.config import REFERENCE_BATCH, RunConfig
from tsp.pretrain.data import REGIONS, ClipDataset
from tsp.pretrain.gvf import read_gvf
from tsp.pretrain.model import TspModel, average_accuracy, head_hits, head_losses
from tsp.training import checkpoint, distributed
from tsp.training.fit import FitResult, LossTerm, fit
from tsp.training.seeds import seed_everything

log = logging.getLogger(__name__)


class TspTask:
    """The trainer's view of TSP and TAC.

    Args:
        model: a `TspModel`.
        run: learning rates and loss weights.
        fingerprint: text that changes with any input of the run.
    """

    metric = "avg_accuracy"
    higher_is_better = True

    def __init__(self, model: TspModel, run: RunConfig, fingerprint: str = "") -> None:
        self.model, self.run, self.fingerprint = model, run, fingerprint

    def param_groups(self) -> list[dict[str, Any]]:
        """Stem, backbone and heads, each at its rate.

        A group at rate 0 takes no gradients, which changes no number and saves its backward pass.
        """
        encoder = self.model.features
        stem = [p for name, p in encoder.named_parameters() if name.startswith("stem.")]
        ids = {id(p) for p in stem}
        groups = {
            "stem": (stem, self.run.stem_lr),
            "backbone": ([p for p in encoder.parameters() if id(p) not in ids], self.run.backbone_lr),
            "heads": ([p for n, p in self.model.named_parameters() if n.startswith(HEADS)], self.run.head_lr),
        }
        scale, made = self._scale(), []
        for name, (parameters, lr) in groups.items():
            for parameter in parameters:
                parameter.requires_grad_(lr != 0)
            if parameters and lr != 0:
                made.append({"params": parameters, "lr": lr * scale, "name": name})
        return made

    def _scale(self) -> float:
        devices = distributed.world_size()
        batch = devices * self.run.trainer.batch_size * self.run.trainer.accumulate
        return {"none": 1.0, "devices": float(devices), "batch": batch / REFERENCE_BATCH}[self.run.lr_scale]

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, LossTerm]:
        """Weighted cross entropies of the heads."""
        logits = self.model(batch["clip"], batch.get("gvf"))
        return head_losses(logits, batch, self.run.loss_weights)

    def validate(self, batches: Iterable[Mapping[str, Tensor]]) -> dict[str, LossTerm]:
        """Top-1 accuracy in percent and loss of each head, over its labelled clips."""
        zero = torch.zeros((), dtype=torch.float64)
        kinds = ("accuracy", "loss")
        sums = {f"{head}_{kind}": [zero, zero] for head in self.run.heads for kind in kinds}
        for batch in batches:
            logits = self.model(batch["clip"], batch.get("gvf"))
            for head, term in head_losses(logits, batch, {}).items():
                hits, count = head_hits(logits[head], batch[head])
                for kind, value in zip(kinds, (100.0 * hits, term.sum), strict=True):
                    total = sums[f"{head}_{kind}"]
                    sums[f"{head}_{kind}"] = [total[0] + value.double().cpu(), total[1] + count.double().cpu()]
        return {name: LossTerm(total, count) for name, (total, count) in sums.items()}

    def summary(self, metrics: dict[str, float]) -> dict[str, float]:
        """Add the mean of the heads' accuracies."""
        return {**metrics, self.metric: average_accuracy([metrics[f"{head}_accuracy"] for head in self.run.heads])}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Files that a run learns from; only those that its configuration asks for, the others None or empty.

    Args:
        train_segments, valid_segments: ground-truth CSVs.
        train_videos, valid_videos: folders of the standardised files.
        labels: action names in id order.
        gvf: global video features of both subsets.
        start: weights of the start run.
        weights: the released file.
    """

    train_segments: str | Path | None = None
    valid_segments: str | Path | None = None
    train_videos: str | Path | None = None
    valid_videos: str | Path | None = None
    labels: Sequence[str] = ()
    gvf: str | Path | None = None
    start: str | Path | None = None
    weights: str | Path | None = None


def pretrain(
    run: RunConfig,
    encoder: EncoderConfig,
    inputs: Inputs,
    *,
    output: str | Path,
    work_dir: str | Path,
    workers: int = 0,
    device: str | None = None,
    devices: int = 1,
    launcher: str | None = None,
    code: str = "",
) -> None:
    """Make the encoder of a run.

    Args:
        run: what to train, or which released weights to convert; neither gives random weights from the seed.
        encoder: the network and its clips.
        inputs: the files that such a run needs.
        output: `encoder.safetensors`: the whole model, names `features.*` and `fc*`; beside it
            `encoder.json` (configuration, inputs, metrics of every epoch, best epoch) and `log.jsonl`.
        work_dir: folder for the state that an interrupted training goes on from.
        workers: loader processes of each device.
        device: `cpu`, `cuda`, `cuda:1`; None: a GPU if there is one.
        devices: processes, one per GPU.
        launcher: command of the cluster that starts them on several machines, such as `srun`; None: on this one.
        code: version of the training code, kept in `encoder.json` so that it can be told from newer code.

    Raises:
        TspError: a file is missing or wrong, training diverges, the disk is full.
    """
    output, work_dir = Path(output), Path(work_dir)
    if run.weights:
        _convert(run, encoder, inputs, output)
    elif run.dataset is None:
        _untrained(run, encoder, inputs, output)
    else:
        args = (run, encoder, inputs, output, work_dir, workers, device, code)
        distributed.launch(_train, devices, args, launcher)


def _train(
    run: RunConfig,
    encoder: EncoderConfig,
    files: Inputs,
    output: Path,
    work_dir: Path,
    *hardware: Any,
) -> None:
    workers, device, code = hardware
    needed = ["train_segments", "valid_segments", "train_videos", "valid_videos", "labels"]
    needed += ["gvf"] * bool(run.gvf) + ["start"] * bool(run.start)
    for name in needed:
        if not getattr(files, name):
            raise TspError(f"pretraining on {run.dataset!r} needs {name}")
    train, valid = (_clips(run, encoder, files, training=training) for training in (True, False))
    seed_everything(run.trainer.seed)
    features = build_encoder(encoder.factory)
    if run.start:
        load_strict(features, encoder_state(load_state(str(files.start))), str(files.start))
    gvf_dim = len(next(iter(train.gvf.values()))) if train.gvf else 0
    classes = {"action": len(files.labels), "region": len(REGIONS)}
    model = TspModel(features, {head: classes[head] for head in run.heads}, gvf_dim)
    facts = _facts(run, encoder, files)
    task = TspTask(model, run, _fingerprint(facts))
    log.info("%d training and %d validation clips per epoch", len(train), len(valid))
    result = fit(task, train, valid, run.trainer, work_dir, workers=workers, device=device)
    if distributed.rank() == 0:
        _finish(result, {**facts, "code": code}, output, work_dir)


def _clips(run: RunConfig, encoder: EncoderConfig, files: Inputs, *, training: bool) -> ClipDataset:
    segments = files.train_segments if training else files.valid_segments
    videos = files.train_videos if training else files.valid_videos
    data = ClipDataset(str(segments), str(videos), run=run, encoder=encoder, labels=files.labels, training=training)
    if run.gvf:
        data.gvf = read_gvf(str(files.gvf), dict.fromkeys(data.filenames))
    return data


def _finish(result: FitResult, facts: dict[str, Any], output: Path, work_dir: Path) -> None:
    # The log first and the state last: whenever the job is killed, a rerun completes what is missing.
    _write_text(output.with_name(checkpoint.LOG), (work_dir / checkpoint.LOG).read_text())
    save_encoder(
        output,
        result.state,
        {
            **facts,
            "best_epoch": result.best_epoch,
            "avg_accuracy": result.best_value,
            "epochs": result.history,
            "torch": torch.__version__,
        },
    )
    checkpoint.clear(work_dir)
    log.info("best epoch %d: average accuracy %.2f %%", result.best_epoch, result.best_value)


def _convert(run: RunConfig, encoder: EncoderConfig, files: Inputs, output: Path) -> None:
    """Bring a released file into the layout of our own, its heads kept."""
    assert run.weights is not None
    path = files.weights or run.weights.path
    if path is None:
        raise TspError(f"weights {run.weights.url}: not downloaded yet; pass the file as weights")
    expected = run.weights.sha256
    state = load_state(path)
    if expected and not (found := sha256(path)).startswith(expected.lower()):
        raise TspError(f"{path}: SHA-256 starts with {found[:8]}, expected {expected}; fetch the file again")
    features = build_encoder(encoder.factory)
    load_strict(features, encoder_state(state), path)
    heads = {name: tensor for name, tensor in state.items() if name.startswith(HEADS)}
    facts = _facts(run, encoder, Inputs(weights=path))
    _save_without_training(features, heads, {**facts, "converted": True}, output)


def _untrained(run: RunConfig, encoder: EncoderConfig, files: Inputs, output: Path) -> None:
    """An encoder as it starts: from the start run's weights, or at random from the seed."""
    seed_everything(run.trainer.seed)
    features = build_encoder(encoder.factory)
    if run.start:
        load_strict(features, encoder_state(load_state(str(files.start))), str(files.start))
    _save_without_training(features, {}, {**_facts(run, encoder, files), "trained": False}, output)


def _save_without_training(features: nn.Module, heads: State, facts: dict[str, Any], output: Path) -> None:
    _write_text(output.with_name(checkpoint.LOG), "")
    body = {f"{PREFIX}{name}": tensor for name, tensor in features.state_dict().items()}
    save_encoder(output, {**body, **heads}, facts)


def _facts(run: RunConfig, encoder: EncoderConfig, files: Inputs) -> dict[str, Any]:
    names = ("train_segments", "valid_segments", "gvf", "start", "weights")
    used = {name: Path(path) for name in names if (path := getattr(files, name))}
    return {
        "encoder": asdict(encoder),
        "run": asdict(run),
        "labels": list(files.labels),
        "inputs": {name: {"path": str(path), "sha256": sha256(path)} for name, path in used.items()},
    }


def _fingerprint(facts: Mapping[str, Any]) -> str:
    """What a resumed run must share with the interrupted one, besides the trainer's options."""
    free = ("trainer", "cache", "cache_gb", "open_videos", "track_code")
    run = {name: value for name, value in facts["run"].items() if name not in free}
    inputs = {name: entry["sha256"] for name, entry in facts["inputs"].items()}
    return json.dumps([facts["encoder"], run, facts["labels"], inputs], sort_keys=True)


def _write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text)
