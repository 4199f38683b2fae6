"""Training of BMT: first the captioner on annotated segments, then the proposal generator on its encoder."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsp.caption.captioner import Captioner, smoothed_loss
from tsp.caption.config import CaptionerConfig, Config, ProposalConfig
from tsp.caption.data import CaptionInputs, Segments, Streams, Whole, read_streams, usable
from tsp.caption.infer import caption_batch, propose_batch, segment_scores
from tsp.caption.model import captioner_facts, load_captioner, proposer_facts
from tsp.caption.proposals import Proposer, anchors, build_proposer, head_loss, targets
from tsp.caption.text import Event, Vocabulary, read_available, read_events, read_vectors
from tsp.caption.tokens import tokeniser
from tsp.errors import TspError
from tsp.evaluation.captions import evaluate
from tsp.evaluation.meteor import Meteor
from tsp.io.captions import CaptionedEvent, Captions
from tsp.io.files import sha256
from tsp.training.checkpoint import config_hash
from tsp.training.config import TrainerConfig
from tsp.training.fit import FitResult, LossTerm, fit
from tsp.training.save import save_trained
from tsp.training.seeds import seed_everything

log = logging.getLogger(__name__)
SELECTION_TIOU = 0.5


class CaptionTask:
    """The captioner as a task of the trainer.

    Its metric is METEOR at tIoU 0.5, a mean over the reference files, or the next-word loss.

    Args:
        model: to train.
        config: smoothing, rate, metric.
        vocabulary: words of the model.
        valid: validation segments, each with the number of its reference file.
        fingerprint: of options and inputs; see `fit`.

    Differs: METEOR is also measured after the first epoch; the released code starts with the second. The validation
        loss is the mean over all words of all reference files; the released code averages the means of the batches.
    """

    def __init__(
        self,
        model: Captioner,
        config: CaptionerConfig,
        vocabulary: Vocabulary,
        valid: Sequence[tuple[Event, int]],
        fingerprint: str = "",
    ) -> None:
        self.model, self.config, self.vocabulary = model, config, vocabulary
        self.valid, self.fingerprint = valid, fingerprint
        self.metric: str = config.metric
        self.higher_is_better = config.metric != "loss"

    def param_groups(self) -> list[dict[str, Any]]:
        """All trained parameters at one rate."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return [{"params": trained, "lr": self.config.lr, "name": "all"}]

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, LossTerm]:
        """Smoothed next-word loss, averaged over words."""
        words = batch["words"]
        streams = (batch["audio"], batch["video"], batch["audio_mask"], batch["video_mask"])
        log_p = self.model(*streams, words[:, :-1])
        return {"loss": LossTerm(*smoothed_loss(log_p, words[:, 1:], self.config.smoothing))}

    def validate(self, batches: Iterable[dict[str, Tensor]]) -> dict[str, float | LossTerm]:
        """Next-word loss and, if METEOR picks the epoch, METEOR of captions of annotated segments."""
        total, count = 0.0, 0.0
        sentences: dict[int, str] = {}
        for batch in batches:
            term = self.loss(batch)["loss"]
            total, count = total + float(term.sum), count + float(term.count)
            if self.metric == "METEOR":
                found = caption_batch(self.model, self.vocabulary, batch)
                sentences |= dict(zip(batch["index"].tolist(), found, strict=True))
        metrics: dict[str, float | LossTerm] = {"loss": LossTerm(torch.tensor(total), count)}
        if self.metric == "METEOR":
            metrics["METEOR"] = self._meteor(sentences)
        return metrics

    def _meteor(self, sentences: dict[int, str]) -> float:
        found = []
        with Meteor() as meteor:
            for number in sorted({source for _, source in self.valid}):
                truth: Captions = {}
                shown: Captions = {}
                for row, (event, source) in enumerate(self.valid):
                    if source == number:
                        _add(truth, event, event.sentence)
                        _add(shown, event, sentences[row])
                found.append(evaluate([truth], shown, [SELECTION_TIOU], meteor).average("METEOR"))
        return float(np.mean(found))


def _add(captions: Captions, event: Event, sentence: str) -> None:
    made = CaptionedEvent(start_s=event.start_s, end_s=event.end_s, sentence=sentence)
    captions.setdefault(event.video, []).append(made)


def train_captioner(
    config: Config,
    inputs: CaptionInputs,
    *,
    vectors: str | Path | None,
    seed: int,
    weights: Path,
    work: Path,
    device: str | None = None,
) -> None:
    """Train the captioner on annotated segments.

    Args:
        config: options.
        inputs: features and captions.
        vectors: file of word vectors, if and only if `config.captioner.vectors` is set.
        seed: of initial weights, order, dropout.
        weights: `.safetensors` to write, `<stem>.json` with vocabulary and provenance, and `<stem>.jsonl`, the log.
        work: folder for checkpoints.
        device: `cpu`, `cuda`; None: a GPU if available.

    Raises:
        TspError: invalid inputs or options, with file and video.

    Paper: BMT section 4.
    """
    options = config.captioner
    if (vectors is None) != (options.vectors is None):
        raise TspError("captioner: a file of word vectors is required if and only if the option `vectors` is set")
    events = {"train": [(e, 0) for e in _training_events(inputs)]}
    events["valid"] = [(e, n) for n in range(len(inputs.valid.references)) for e in inputs.valid.events(n)]
    streams = {name: _streams(config, inputs, name, [e for e, _ in found]) for name, found in events.items()}
    tokenise = tokeniser(options.tokeniser)
    # The vocabulary covers all training captions, also those of videos without features.
    vocabulary = Vocabulary.of(tokenise(e.caption) for e, _ in events["train"])
    log.info("%d segments, %d words", len(events["train"]), len(vocabulary))
    table = None if vectors is None else torch.from_numpy(read_vectors(vectors, vocabulary.words))
    seed_everything(seed)
    widths = streams["train"].widths
    model = Captioner(*widths, len(vocabulary), options, table)
    kept = {name: [row for row in found if row[0].video in streams[name].video] for name, found in events.items()}
    train, valid = (
        Segments([e for e, _ in rows], streams[name], [vocabulary.encode(tokenise(e.caption)) for e, _ in rows])
        for name, rows in kept.items()
    )
    hashes = {**inputs.hashes, "vectors": None if vectors is None else sha256(vectors)}
    task = CaptionTask(model, options, vocabulary, kept["valid"], _fingerprint({"captioner": options}, hashes))
    result = fit(task, train, valid, replace(options.trainer, seed=seed), work, device=device)
    facts = {**_facts(seed, hashes, result), **captioner_facts(vocabulary, widths, config)}
    save_trained(weights, result, facts, work, log=weights.with_suffix(".jsonl"))


class ProposalTask:
    """The proposal generator as a task of the trainer; its metric is F1 of the proposals.

    Precision and recall are means over videos and tIoU thresholds (bmt.md 4.8).

    Args:
        model: to train.
        config: loss, selection.
        durations_s: of each validation video.
        names: of the validation videos, in the order of the data set.
        references: annotated segments of all validation videos, including those without features.
        fingerprint: of options and inputs; see `fit`.
    """

    metric, higher_is_better = "F1", True

    def __init__(
        self,
        model: Proposer,
        config: ProposalConfig,
        durations_s: Mapping[str, float],
        names: Sequence[str],
        references: Sequence[Captions],
        fingerprint: str = "",
    ) -> None:
        self.model, self.config, self.durations_s, self.names = model, config, durations_s, names
        self.references, self.fingerprint = references, fingerprint

    def param_groups(self) -> list[dict[str, Any]]:
        """Heads, and the encoder unless it is frozen, at one rate."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return [{"params": trained, "lr": self.config.lr, "name": "all"}]

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, LossTerm]:
        """Four terms per stream, each summed over its heads."""
        raw = self.model(batch["audio"], batch["video"], batch["audio_mask"], batch["video_mask"])
        terms = {}
        for name, stream, found in zip(("audio", "video"), (self.model.audio, self.model.video), raw, strict=True):
            wanted = targets(batch["segments"], stream.sizes, found[0].shape[-1], stream.step_s)
            heads = [head_loss(head.float(), wanted) for head in found]
            for term, (_, count) in heads[0].items():
                weight = self.config.no_object_weight if term == "nothing" else 1.0
                total = torch.stack([head[term][0] for head in heads]).sum()
                terms[f"{name}_{term}"] = LossTerm(total, count, weight)
        return terms

    def validate(self, batches: Iterable[dict[str, Tensor]]) -> dict[str, float | LossTerm]:
        """Precision, recall and F1 of the proposals, at most `most` per video, against all reference files."""
        found: Captions = {}
        for batch in batches:
            names = [self.names[row] for row in batch["index"].tolist()]
            found |= propose_batch(self.model, batch, names, self.durations_s, self.config)
        return dict(segment_scores(self.references, found))


def train_proposals(
    config: Config,
    inputs: CaptionInputs,
    *,
    captioner: Path,
    seed: int,
    weights: Path,
    work: Path,
    device: str | None = None,
) -> None:
    """Train the proposal generator on whole videos.

    Args:
        config: options; those of the captioner must be the ones of its training.
        inputs: features and captions.
        captioner: weights of `train_captioner`; with `encoder: own` only its widths are used.
        seed: of initial weights, order, dropout.
        weights: `.safetensors` to write, `<stem>.json` with provenance, and `<stem>.jsonl`, the log.
        work: folder for checkpoints.
        device: `cpu`, `cuda`; None: a GPU if available.

    Raises:
        TspError: invalid inputs or options, with file and video.

    Paper: BMT section 4.
    """
    options = config.proposals
    train = _training_events(inputs)
    valid = [inputs.valid.events(n) for n in range(len(inputs.valid.references))]
    streams = {
        "train": _streams(config, inputs, "train", train),
        "valid": _streams(config, inputs, "valid", valid[0]),
    }
    trained = load_captioner(captioner, config)
    sizes = _anchors(read_events(inputs.captions), options)
    steps = (streams["train"].audio_step_s, streams["train"].video_step_s)
    seed_everything(seed)
    model = build_proposer(trained.widths, sizes, steps, config.captioner, options)
    if options.encoder == "captioner":
        model.encoder.load_state_dict(trained.model.encoder.state_dict())
    train_data = _whole(train, streams["train"], options, full_batches=options.trainer.batch_size, seed=seed)
    valid_data = _whole(valid[0], streams["valid"], options, full_batches=None, seed=seed)
    hashes = {**inputs.hashes, "captioner": sha256(captioner)}
    guard = _fingerprint({"proposals": options, "captioner": config.captioner}, hashes)
    durations = {e.video: e.duration_s for e in valid[0]}
    task = ProposalTask(model, options, durations, valid_data.names, [_captions(events) for events in valid], guard)
    result = fit(task, train_data, valid_data, replace(options.trainer, seed=seed), work, device=device)
    facts = {**_facts(seed, hashes, result), **proposer_facts(model, trained.widths, config)}
    save_trained(weights, result, facts, work, log=weights.with_suffix(".jsonl"))


def _whole(
    events: Sequence[Event], streams: Streams, options: ProposalConfig, *, full_batches: int | None, seed: int
) -> Whole:
    return Whole(
        usable(events, streams, options.silent),
        streams,
        audio_length=options.audio_length,
        video_length=options.video_length,
        full_batches=full_batches,
        seed=seed,
    )


def _anchors(events: Sequence[Event], options: ProposalConfig) -> tuple[Tensor, Tensor]:
    """Anchors of sound and pictures, from all annotated segments, also of videos that are not available."""
    lengths = np.array([e.end_s - e.start_s for e in events], np.float32)  # clustered in single precision, as released
    counts = (options.audio_anchors, options.video_anchors)
    audio, video = (torch.from_numpy(anchors(lengths, n, options.anchor_seed)) for n in counts)
    return audio, video


def _training_events(inputs: CaptionInputs) -> list[Event]:
    return read_events(inputs.captions, read_available(inputs.valid.available))


def _captions(events: Sequence[Event]) -> Captions:
    found: Captions = {}
    for event in events:
        _add(found, event, event.sentence)
    return found


def _streams(config: Config, inputs: CaptionInputs, name: str, events: Sequence[Event]) -> Streams:
    files = inputs if name == "train" else inputs.valid
    return read_streams(files.video, files.audio, [event.video for event in events], missing=config.missing)


def _fingerprint(options: Mapping[str, Any], hashes: Mapping[str, Any]) -> str:
    """Digest of options and inputs for `fit`, which adds the options of the trainer."""
    own = {name: {k: v for k, v in asdict(part).items() if k != "trainer"} for name, part in options.items()}
    return config_hash(TrainerConfig(), own=own, inputs=hashes)


def _facts(seed: int, hashes: Mapping[str, Any], result: FitResult) -> dict[str, Any]:
    return {"seed": seed, "inputs_sha256": hashes, "best_epoch": result.best_epoch, "epochs": result.history}
