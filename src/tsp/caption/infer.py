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
from tsp.caption.data import Segments, Streams, Whole, read_streams, usable
from tsp.caption.model import load_captioner, load_proposer
from tsp.caption.proposals import Proposer, select
from tsp.caption.text import Event, Vocabulary, read_available, read_events
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
    """A sentence for each segment of a batch, on the model's device, in eval mode."""
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
    """Proposals of the videos of a batch, best first, without sentences; videos without any are left out."""
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
    """Precision, recall and F1 of proposals, as the evaluation of captions measures them, without the captions."""
    videos = list(dict.fromkeys(video for truth in references for video in truth))
    scores = np.zeros((len(videos), len(CAPTION_TIOUS), 2))
    for row, video in enumerate(videos):
        overlaps = [_overlap(found.get(video, []), truth[video]) for truth in references if video in truth]
        scores[row] = [_precision_recall(overlaps, tiou) for tiou in CAPTION_TIOUS]
    precision, recall = scores.mean(axis=(0, 1)).tolist()
    total = precision + recall
    return {"precision": precision, "recall": recall, "F1": 2 * precision * recall / total if total else 0.0}


@torch.inference_mode()
def propose(
    config: Config,
    *,
    weights: Path,
    video: Sequence[Path],
    audio: Sequence[Path],
    references: Path,
    available: Path | None,
    output: Path,
    device: str | None = None,
) -> None:
    """Write the proposals of all videos of a reference file, as a submission with empty sentences.

    Args:
        config: options.
        weights: of the proposal generator.
        video, audio: feature files.
        references: which videos, and their durations.
        available: list of the videos that exist; None: all.
        output: JSON (docs/formats/captions.md).
        device: None: a GPU if there is one.

    Paper: BMT section 4.
    """
    options = config.proposals
    model, _ = load_proposer(weights, config)
    target = pick_device(device)
    model.to(target)
    events = read_events(references, read_available(available))
    streams = read_streams(video, audio, [e.video for e in events], missing=config.missing)
    durations = {e.video: e.duration_s for e in events}
    data = Whole(
        usable(events, streams, options.silent),
        streams,
        audio_length=options.audio_length,
        video_length=options.video_length,
    )
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
    config: Config,
    *,
    weights: Path,
    proposals: Path,
    video: Sequence[Path],
    audio: Sequence[Path],
    references: Path,
    output: Path,
    device: str | None = None,
) -> None:
    """Write a sentence for each proposal.

    Args:
        config: options.
        weights: of the captioner.
        proposals: submission, its sentences are not looked at.
        video, audio: feature files.
        references: durations of the videos.
        output: JSON (docs/formats/captions.md).
        device: None: a GPU if there is one.

    Raises:
        TspError: a proposal of a video that is not in the references.

    Paper: BMT section 4.
    """
    durations = {e.video: e.duration_s for e in read_events(references)}
    found = read_captions(proposals)
    unknown = next((name for name in found if name not in durations), None)
    if unknown is not None:
        raise TspError(f"{proposals}: {unknown!r} is not in {references}, which states the durations")
    flat = [(name, e) for name, events in found.items() for e in events]
    segments = [
        Event(video=name, start_s=e.start_s, end_s=e.end_s, duration_s=durations[name], sentence="") for name, e in flat
    ]
    streams = read_streams(video, audio, list(found), missing=config.missing)
    captions = _caption(config, weights, segments, [e.score for _, e in flat], streams, device)
    _write(output, captions, weights, proposals)


def caption_annotated(
    config: Config,
    *,
    weights: Path,
    video: Sequence[Path],
    audio: Sequence[Path],
    references: Path,
    available: Path | None,
    output: Path,
    device: str | None = None,
) -> None:
    """Write a sentence for each annotated segment; arguments as `caption_proposals`.

    Paper: BMT section 4 (ground-truth segments).
    """
    events = read_events(references, read_available(available))
    streams = read_streams(video, audio, [e.video for e in events], missing=config.missing)
    captions = _caption(config, weights, events, [None] * len(events), streams, device)
    _write(output, captions, weights, references)


def _write(output: Path, captions: Captions, weights: Path, segments: Path) -> None:
    facts = {"producer": PRODUCER, "weights_sha256": sha256(weights), "segments_sha256": sha256(segments)}
    write_captions(output, captions, version="BMT", external_data={"used": True, "details": facts})


@torch.inference_mode()
def _caption(
    config: Config,
    weights: Path,
    segments: Sequence[Event],
    scores: Sequence[float | None],
    streams: Streams,
    device: str | None,
) -> Captions:
    """Captions of segments, by video; those of videos without features are left out."""
    trained = load_captioner(weights, config)
    target = pick_device(device)
    trained.model.to(target)
    rows = [row for row, segment in enumerate(segments) if segment.video in streams.video]
    data = Segments([segments[row] for row in rows], streams)
    # Segments of like length share a batch, which saves padding.
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
