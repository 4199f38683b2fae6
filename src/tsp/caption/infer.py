"""Inference of BMT: proposals of whole videos, captions of segments."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tsp import __version__
from tsp.caption.captioner import Captioner, decode
from tsp.caption.config import Config, ProposalConfig
from tsp.caption.data import Measured, Segments, Streams, Whole, read_streams, usable
from tsp.caption.model import load_captioner, load_proposer
from tsp.caption.proposals import Proposer, select
from tsp.caption.text import Event, Vocabulary
from tsp.errors import TspError
from tsp.evaluation.captions import CAPTION_TIOUS, _overlap, _precision_recall
from tsp.io.captions import CaptionedEvent, Captions, read_captions, write_captions
from tsp.io.files import sha256
from tsp.progress import progress
from tsp.training.distributed import pick_device
from tsp.training.loader import to_device

log = logging.getLogger(__name__)
PRODUCER = f"tsp {__version__} caption"


@torch.inference_mode()
def caption_batch(model: Captioner, vocabulary: Vocabulary, batch: Mapping[str, Tensor]) -> list[str]:
    """A sentence for each segment of a batch; model in eval mode, batch on its device."""
    memory = model.memory(batch["audio"], batch["video"], batch["audio_mask"], batch["video_mask"])
    return [vocabulary.sentence(numbers) for numbers in decode(model, memory)]


@torch.inference_mode()
def propose_batch(
    model: Proposer,
    batch: dict[str, Tensor],
    names: Sequence[str],
    durations_s: Mapping[str, float],
    config: ProposalConfig,
) -> Captions:
    """Proposals of the videos of a batch, best first, with empty sentences; a video without proposals has no entry."""
    pools = model.best(batch, config.most, mask_padding=config.mask_padding).double().cpu().numpy()
    found: Captions = {}
    for name, pool in zip(names, pools, strict=True):
        segments, scores = select(pool, durations_s[name], config)
        made = [
            CaptionedEvent(start_s=start, end_s=end, sentence="", score=score)
            for (start, end), score in zip(segments.tolist(), scores.tolist(), strict=True)
        ]
        if made:
            found[name] = made
    return found


def segment_scores(references: Sequence[Captions], found: Captions) -> dict[str, float]:
    """Precision, recall and F1 of proposals, defined as in the evaluation of captions."""
    videos = list(dict.fromkeys(video for truth in references for video in truth))
    scores = np.zeros((len(videos), len(CAPTION_TIOUS), 2))
    for row, video in enumerate(videos):
        overlaps = [_overlap(found.get(video, []), truth[video]) for truth in references if video in truth]
        scores[row] = [_precision_recall(overlaps, tiou) for tiou in CAPTION_TIOUS]
    precision, recall = scores.mean(axis=(0, 1)).tolist()
    total = precision + recall
    return {"precision": precision, "recall": recall, "F1": 2 * precision * recall / total if total else 0.0}


@torch.inference_mode()
def propose(config: Config, files: Measured, *, weights: Path, output: Path, device: str | None = None) -> None:
    """Write the proposals of all videos of the first reference file, as a submission with empty sentences.

    Args:
        config: options.
        files: features, and the reference file that defines the videos.
        weights: of the proposal generator.
        output: JSON (docs/formats/captions.md).
        device: None: a GPU if available.

    Paper: BMT section 4.
    """
    options = config.proposals
    model, _ = load_proposer(weights, config)
    target = pick_device(device)
    model.to(target)
    events = files.events()
    streams = _streams(config, files, [e.video for e in events])
    durations = {e.video: e.duration_s for e in events}
    padding = {"audio_length": options.audio_length, "video_length": options.video_length}
    data = Whole(usable(events, streams, options.silent), streams, **padding)
    size = options.trainer.batch_size
    found: Captions = {}
    for at in progress(range(0, len(data), size), desc="proposals", unit="batch"):
        items = [data[row] for row in range(at, min(at + size, len(data)))]
        batch = to_device(data.collate(items), target)
        names = [data.names[item["index"]] for item in items]
        found |= propose_batch(model, batch, names, durations, options)
    log.info("%d proposals of %d videos", sum(map(len, found.values())), len(found))
    facts = {"producer": PRODUCER, "weights_sha256": sha256(weights)}
    write_captions(output, found, version="BMT proposals", external_data={"used": True, "details": facts})


def caption_proposals(
    config: Config, files: Measured, *, weights: Path, proposals: Path, output: Path, device: str | None = None
) -> None:
    """Write a sentence for each proposal.

    Args:
        config: options.
        files: features; the first reference file states the durations of the videos.
        weights: of the captioner.
        proposals: submission; its sentences are ignored.
        output: JSON (docs/formats/captions.md).
        device: None: a GPU if available.

    Raises:
        TspError: a proposal's video is not in the references.

    Paper: BMT section 4.
    """
    durations = {e.video: e.duration_s for e in files.events()}
    found = read_captions(proposals)
    unknown = next((name for name in found if name not in durations), None)
    if unknown is not None:
        raise TspError(f"{proposals}: {unknown!r} is not in {files.references[0]}, which contains the durations")
    flat = [(name, e) for name, events in found.items() for e in events]
    segments = [
        Event(video=name, start_s=e.start_s, end_s=e.end_s, duration_s=durations[name], sentence="") for name, e in flat
    ]
    captions = _caption(config, files, weights, segments, [e.score for _, e in flat], device)
    _write(output, captions, weights, proposals)


def caption_annotated(
    config: Config, files: Measured, number: int, *, weights: Path, output: Path, device: str | None = None
) -> None:
    """Write a sentence for each annotated segment of one reference file; arguments as `caption_proposals`.

    Paper: BMT section 4 (ground-truth segments).
    """
    events = files.events(number)
    captions = _caption(config, files, weights, events, [None] * len(events), device)
    _write(output, captions, weights, files.references[number])


def _streams(config: Config, files: Measured, names: Sequence[str]) -> Streams:
    return read_streams(files.video, files.audio, names, missing=config.missing)


def _write(output: Path, captions: Captions, weights: Path, segments: Path) -> None:
    facts = {"producer": PRODUCER, "weights_sha256": sha256(weights), "segments_sha256": sha256(segments)}
    write_captions(output, captions, version="BMT", external_data={"used": True, "details": facts})


@torch.inference_mode()
def _caption(
    config: Config,
    files: Measured,
    weights: Path,
    segments: Sequence[Event],
    scores: Sequence[float | None],
    device: str | None,
) -> Captions:
    """Captions of segments, by video; those of videos without features are skipped."""
    streams = _streams(config, files, [segment.video for segment in segments])
    trained = load_captioner(weights, config)
    target = pick_device(device)
    trained.model.to(target)
    rows = [row for row, segment in enumerate(segments) if segment.video in streams.video]
    data = Segments([segments[row] for row in rows], streams)
    # Segments of similar length share a batch to reduce padding.
    order = sorted(range(len(data)), key=lambda row: data.events[row].end_s - data.events[row].start_s)
    size = config.captioner.caption_batch
    sentences: dict[int, str] = {}
    for at in progress(range(0, len(order), size), desc="captions", unit="batch"):
        part = order[at : at + size]
        batch = to_device(data.collate([data[row] for row in part]), target)
        sentences |= dict(zip(part, caption_batch(trained.model, trained.vocabulary, batch), strict=True))
    found: Captions = {}
    for number, row in enumerate(rows):
        s = segments[row]
        made = CaptionedEvent(start_s=s.start_s, end_s=s.end_s, sentence=sentences[number], score=scores[row])
        found.setdefault(s.video, []).append(made)
    return found
