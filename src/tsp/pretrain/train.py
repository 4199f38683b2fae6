"""Pretraining: trains an encoder with TSP or TAC heads, or converts released weights."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tsp.encoders.build import build_encoder
from tsp.encoders.config import EncoderConfig
from tsp.encoders.weights import HEADS, PREFIX, State, encoder_state, load_state, load_strict, save_encoder
from tsp.errors import TspError
from tsp.io.files import atomic, sha256
from tsp.pretrain.config import REFERENCE_BATCH, ReleasedFile, RunConfig
from tsp.pretrain.data import REGIONS, ClipDataset, network_input
from tsp.pretrain.gvf import read_gvf
from tsp.pretrain.model import TspModel, average_accuracy, head_hits, head_losses
from tsp.training import checkpoint, distributed
from tsp.training.fit import FitResult, LossTerm, fit
from tsp.training.save import save_trained
from tsp.training.seeds import seed_everything
from tsp.video.transforms import InputFormat

# Options of a run, besides those of the trainer, that a resumed training may change.
FREE_OF_RUN = ("cache", "cache_gb", "open_videos", "track_code")
log = logging.getLogger(__name__)


class TspTask:
    """TSP or TAC as a task of the trainer.

    Args:
        model: a `TspModel`.
        run: learning rates and loss weights.
        form: image format that the encoder expects.
        fingerprint: text that identifies configuration and inputs; a checkpoint of another one is refused.

    Differs: validation losses are means over the labelled clips; the released code averages the means of the batches,
        whatever their number of labelled clips. The accuracies, which select the epoch, are means over clips in both.
    """

    metric = "avg_accuracy"
    higher_is_better = True

    def __init__(self, model: TspModel, run: RunConfig, form: InputFormat, fingerprint: str = "") -> None:
        self.model, self.run, self.form, self.fingerprint = model, run, form, fingerprint

    def param_groups(self) -> list[dict[str, Any]]:
        """Stem, backbone and heads with their learning rates.

        Parameters at rate 0 need no gradients: the results are the same and the backward pass is shorter.
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
        trainer = self.run.trainer
        batch = trainer.replicas * trainer.batch_size * trainer.accumulate
        return {"none": 1.0, "replicas": float(trainer.replicas), "batch": batch / REFERENCE_BATCH}[self.run.lr_scale]

    def _logits(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        clips = network_input(batch, self.form)
        if self.run.trainer.channels_last:
            clips = clips.contiguous(memory_format=torch.channels_last_3d)
        return self.model(clips, batch.get("gvf"))  # type: ignore[no-any-return]

    def loss(self, batch: Mapping[str, Any]) -> dict[str, LossTerm]:
        """Weighted cross entropies of the heads."""
        logits = self._logits(batch)
        return head_losses(logits, batch, self.run.loss_weights)

    def validate(self, batches: Iterable[Mapping[str, Any]]) -> dict[str, LossTerm]:
        """Top-1 accuracy in percent and loss of each head, over its labelled clips."""
        # On the device of the batches until the end: a number read by the host would make it wait for every batch.
        zero = torch.zeros((), dtype=torch.float64)
        kinds = ("accuracy", "loss")
        sums = {f"{head}_{kind}": [zero, zero] for head in self.run.heads for kind in kinds}
        for batch in batches:
            logits = self._logits(batch)
            for head, term in head_losses(logits, batch, {}).items():
                hits, count = head_hits(logits[head], batch[head])
                for kind, value in zip(kinds, (100.0 * hits, term.sum), strict=True):
                    total = sums[f"{head}_{kind}"]
                    sums[f"{head}_{kind}"] = [total[0] + value.double(), total[1] + count.double()]
        return {name: LossTerm(total, count) for name, (total, count) in sums.items()}

    def summary(self, metrics: dict[str, float]) -> dict[str, float]:
        """Add the mean of the heads' accuracies."""
        return {**metrics, self.metric: average_accuracy([metrics[f"{head}_accuracy"] for head in self.run.heads])}


@dataclass(frozen=True, kw_only=True)
class PretrainInputs:
    """Input files of a run. Those that its configuration does not use are None or empty.

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
    inputs: PretrainInputs,
    *,
    output: str | Path,
    work_dir: str | Path,
    workers: int = 0,
    device: str | None = None,
    code: str = "",
) -> None:
    """Make the encoder of a run, in this process or as one process of `distributed.launch`.

    Args:
        run: what to train, or which released weights to convert; neither gives random weights from the seed.
        encoder: the network and its clips.
        inputs: the files that the run needs.
        output: `encoder.safetensors`: the whole model, names `features.*` and `fc*`; beside it
            `encoder.json` (configuration, inputs, metrics of every epoch, best epoch) and `log.jsonl`.
        work_dir: folder for the checkpoints from which an interrupted training resumes.
        workers: loader processes of each device.
        device: `cpu`, `cuda`, `cuda:1`; None: a GPU if available.
        code: version of the training code, stored in `encoder.json` to detect weights of older code.

    Raises:
        TspError: a file is missing or wrong, training diverges, the disk is full.
    """
    output, work_dir = Path(output), Path(work_dir)
    if not run.is_trained:
        if distributed.rank() == 0:
            _without_training(run, encoder, inputs, output)
        return
    _check_inputs(run, inputs)
    train, valid = (_clips(run, encoder, inputs, training=training) for training in (True, False))
    seed_everything(run.trainer.seed)
    features = _start(run, encoder, inputs)
    gvf_dim = len(next(iter(train.gvf.values()))) if train.gvf else 0
    classes = {"action": len(inputs.labels), "region": len(REGIONS)}
    model = TspModel(features, {head: classes[head] for head in run.heads}, gvf_dim)
    facts = _facts(run, encoder, inputs)
    task = TspTask(model, run, encoder, _fingerprint(facts))
    log.info("%d training and %d validation clips per epoch", len(train), len(valid))
    result = fit(task, train, valid, run.trainer, work_dir, workers=workers, device=device)
    if distributed.rank() == 0:
        _finish(result, {**facts, "code": code}, output, work_dir)


def _check_inputs(run: RunConfig, inputs: PretrainInputs) -> None:
    needed = ["train_segments", "valid_segments", "train_videos", "valid_videos", "labels"]
    needed += ["gvf"] * bool(run.gvf) + ["start"] * bool(run.start)
    for name in needed:
        if not getattr(inputs, name):
            raise TspError(f"pretraining on {run.dataset!r} needs {name}")


def _start(run: RunConfig, encoder: EncoderConfig, inputs: PretrainInputs) -> nn.Module:
    """The encoder before training: weights of the start run, or random ones from the global random state."""
    features = build_encoder(encoder.factory)
    if run.start:
        load_strict(features, encoder_state(load_state(str(inputs.start))), str(inputs.start))
    return features


def _clips(run: RunConfig, encoder: EncoderConfig, inputs: PretrainInputs, *, training: bool) -> ClipDataset:
    segments = inputs.train_segments if training else inputs.valid_segments
    videos = inputs.train_videos if training else inputs.valid_videos
    data = ClipDataset(str(segments), str(videos), run=run, encoder=encoder, labels=inputs.labels, training=training)
    if run.gvf:
        data.gvf = read_gvf(str(inputs.gvf), dict.fromkeys(data.filenames))
    return data


def _finish(result: FitResult, facts: dict[str, Any], output: Path, work_dir: Path) -> None:
    end = {"best_epoch": result.best_epoch, "avg_accuracy": result.best_value, "epochs": result.history}
    save_trained(output, result, {**facts, **end, "torch": torch.__version__}, work_dir)
    log.info("best epoch %d: average accuracy %.2f %%", result.best_epoch, result.best_value)


def _without_training(run: RunConfig, encoder: EncoderConfig, inputs: PretrainInputs, output: Path) -> None:
    """Write the released weights of a run with their heads, or else the encoder as a training would start from it."""
    heads: State = {}
    if run.weights:
        features, heads, path = _released(run.weights, encoder, inputs.weights)
        facts = {**_facts(run, encoder, PretrainInputs(weights=path)), "converted": True}
    else:
        seed_everything(run.trainer.seed)
        features = _start(run, encoder, inputs)
        facts = {**_facts(run, encoder, inputs), "trained": False}
    with atomic(output.with_name(checkpoint.LOG)) as temporary:
        temporary.write_text("")
    body = {f"{PREFIX}{name}": tensor for name, tensor in features.state_dict().items()}
    save_encoder(output, {**body, **heads}, facts)


def _released(
    released: ReleasedFile, encoder: EncoderConfig, fetched: str | Path | None
) -> tuple[nn.Module, State, str | Path]:
    """Encoder and heads of a released file, and the file's path."""
    path = fetched or released.path
    if path is None:
        raise TspError(f"weights {released.url}: not downloaded yet; pass the file as weights")
    state = load_state(path)
    if released.sha256 and not (found := sha256(path)).startswith(released.sha256.lower()):
        raise TspError(f"{path}: SHA-256 starts with {found[:8]}, expected {released.sha256}; fetch the file again")
    features = build_encoder(encoder.factory)
    load_strict(features, encoder_state(state), path)
    return features, {name: tensor for name, tensor in state.items() if name.startswith(HEADS)}, path


def _facts(run: RunConfig, encoder: EncoderConfig, inputs: PretrainInputs) -> dict[str, Any]:
    names = ("train_segments", "valid_segments", "gvf", "start", "weights")
    used = {name: Path(path) for name in names if (path := getattr(inputs, name))}
    return {
        "encoder": asdict(encoder),
        "run": asdict(run),
        "labels": list(inputs.labels),
        "inputs": {name: {"path": str(path), "sha256": sha256(path)} for name, path in used.items()},
    }


def _fingerprint(facts: Mapping[str, Any]) -> str:
    """What a resumed run must have in common with the interrupted one, besides the trainer's options."""
    run = {name: value for name, value in facts["run"].items() if name not in ("trainer", *FREE_OF_RUN)}
    inputs = {name: entry["sha256"] for name, entry in facts["inputs"].items()}
    return json.dumps([facts["encoder"], run, facts["labels"], inputs], sort_keys=True)
