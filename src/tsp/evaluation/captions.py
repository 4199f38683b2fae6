"""Dense captions: BLEU, METEOR, ROUGE-L and CIDEr of captioned proposals, and precision and recall of the proposals."""

import logging
import random
import string
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsp.errors import TspError
from tsp.evaluation.io import Floats
from tsp.evaluation.meteor import Meteor, tokenise
from tsp.evaluation.protocol import check_tious, tiou_name
from tsp.io.captions import CaptionedEvent, Captions, read_captions, read_references
from tsp.progress import progress

CAPTION_TIOUS = (0.3, 0.5, 0.7, 0.9)
TEXT_METRICS = ("BLEU@1", "BLEU@2", "BLEU@3", "BLEU@4", "METEOR", "ROUGE-L", "CIDEr")
MOST = 100
TINY = 1e-8
Pairs = list[tuple[str, str]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CaptionResult:
    """Scores of captioned proposals; all are fractions (CIDEr goes up to 10).

    Args:
        tious: `T` thresholds.
        videos: `V` videos of the references.
        scores: metric -> `[T, V]`; of `TEXT_METRICS`, `precision` and `recall`.
        counts: odd rows and everything left out.
        options: how it was measured.
    """

    tious: tuple[float, ...]
    videos: tuple[str, ...]
    scores: dict[str, Floats]
    counts: dict[str, int]
    options: dict[str, Any] = field(default_factory=dict)

    def per_tiou(self, metric: str) -> Floats:
        """`[T]` mean over the videos; F1 is that of mean precision and mean recall."""
        if metric == "F1":
            return np.asarray(_f1(self.per_tiou("precision"), self.per_tiou("recall")))
        return np.asarray(self.scores[metric].mean(axis=1))

    def at(self, metric: str, tiou: float) -> float:
        """Mean over the videos at one of the thresholds."""
        return float(self.per_tiou(metric)[self.tious.index(tiou)])

    def average(self, metric: str) -> float:
        """Mean over the thresholds; F1 is that of average precision and average recall."""
        if metric == "F1":
            return float(_f1(np.asarray(self.average("precision")), np.asarray(self.average("recall"))))
        return float(self.per_tiou(metric).mean())


def caption_scores(
    references: Sequence[str | Path],
    predictions: str | Path,
    tious: Sequence[float] = CAPTION_TIOUS,
    *,
    most: int = MOST,
    only: Collection[str] | None = None,
    meteor: Meteor | None = None,
) -> CaptionResult:
    """Score a submission file.

    Args:
        references: ActivityNet Captions annotations, one or more for the same videos.
        predictions: submission JSON.
        tious: thresholds, ascending, in (0, 1].
        most: predictions of each video that count, the first ones.
        only: videos to measure, such as those that can still be downloaded; None: all of the references.
        meteor: running; None: one is started for this call.

    Raises:
        TspError: naming file and entry of the first error; Java is missing.
    """
    if not references or most < 1:
        raise TspError("caption scores: expected at least one reference file and one prediction per video")
    truths = [read_references(path) for path in references]
    if only is not None:
        truths = [{video: events for video, events in truth.items() if video in only} for truth in truths]
    if not any(truths):
        raise TspError(f"{references[0]}: none of the chosen videos is in the references")
    found = read_captions(predictions, most=most)
    known = {video for truth in truths for video in truth}
    unknown = sum(len(events) for video, events in found.items() if video not in known)
    if unknown:
        log.warning("%s: %d predictions are in videos without reference; they do not count", predictions, unknown)
    result = evaluate(truths, found, tious, meteor)
    options = {"references": [Path(path).name for path in references], "most": most, "chosen_videos": only is not None}
    return replace(result, options=options)


def evaluate(
    references: Sequence[Captions],
    predictions: Mapping[str, Sequence[CaptionedEvent]],
    tious: Sequence[float],
    meteor: Meteor | None = None,
) -> CaptionResult:
    """Score captions.

    A prediction is compared with each sentence whose segment it overlaps enough, one pair each; without any it is
    compared with random letters, which scores about 0. A video's scores come from its own pairs.

    Args:
        references: sets of annotations.
        predictions: video -> captions.
        tious: thresholds, ascending, in (0, 1].
        meteor: running; None: one is started for this call.

    Raises:
        TspError: Java is missing or fails.

    Paper: table of dense captioning (BMT's evaluation).
    Differs: the random letters are the same at all thresholds and in each run; a video with an empty list of
        predictions has precision 0.
    """
    thresholds = check_tious(tious)
    videos = list(dict.fromkeys(video for truth in references for video in truth))
    shown = {video: list(predictions.get(video, [])) for video in videos}
    sentences = [e.sentence for truth in [*references, shown] for events in truth.values() for e in events]
    tokens = tokenise(sentences)
    letters = random.Random(0)
    scores = {name: np.zeros((len(thresholds), len(videos))) for name in (*TEXT_METRICS, "precision", "recall")}
    # A process that the caller started stays alive for the next call.
    with Meteor() if meteor is None else nullcontext(meteor) as running:
        for column, video in enumerate(progress(videos, desc="captions", unit="video")):
            events = shown[video]
            truths = [truth[video] for truth in references if video in truth]
            garbage = ["".join(letters.choices(string.ascii_lowercase, k=letters.randint(10, 20))) for _ in events]
            overlaps = [_overlap(events, truth) for truth in truths]
            for row, threshold in enumerate(thresholds.tolist()):
                pairs = _pairs(events, truths, overlaps, threshold, tokens, garbage)
                measured = dict(zip(TEXT_METRICS, text_scores(pairs, running), strict=True))
                measured["precision"], measured["recall"] = _precision_recall(overlaps, threshold)
                for name, value in measured.items():
                    scores[name][row, column] = value
    return CaptionResult(
        tious=tuple(thresholds.tolist()),
        videos=tuple(videos),
        scores=scores,
        counts=_counts(references, shown, predictions),
    )


def text_scores(pairs: Pairs, meteor: Meteor) -> tuple[float, ...]:
    """`TEXT_METRICS` of a set of pairs.

    Args:
        pairs: tokenised hypothesis and reference.
        meteor: running.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    if not pairs:
        return (0.0,) * len(TEXT_METRICS)
    hypotheses = {n: [hypothesis] for n, (hypothesis, _) in enumerate(pairs)}
    references = {n: [reference] for n, (_, reference) in enumerate(pairs)}
    bleu, _ = Bleu(4).compute_score(references, hypotheses, verbose=0)
    rouge, _ = Rouge().compute_score(references, hypotheses)
    # Without any word in the references there are no documents to weigh words by.
    cider = Cider().compute_score(references, hypotheses)[0] if any(r for _, r in pairs) else 0.0
    return (*map(float, bleu), meteor.score(pairs)[0], float(rouge), float(cider))


def scores_json(result: CaptionResult) -> dict[str, Any]:
    """The result as the content of a scores file."""
    metrics = (*TEXT_METRICS, "precision", "recall", "F1")
    values = {metric: result.per_tiou(metric).tolist() for metric in metrics}
    return {
        "average": {metric: result.average(metric) for metric in metrics},
        "per_tiou": {
            tiou_name(t): {metric: values[metric][row] for metric in metrics} for row, t in enumerate(result.tious)
        },
        "options": result.options,
        "counts": result.counts,
    }


def _overlap(events: Sequence[CaptionedEvent], truth: Sequence[CaptionedEvent]) -> Floats:
    """`[P, R]` overlap by the captions toolkit: the union is at most the sum of both lengths."""
    start, end = np.asarray([(e.start_s, e.end_s) for e in events], dtype=np.float64).reshape(-1, 2).T[:, :, None]
    first, last = np.asarray([(e.start_s, e.end_s) for e in truth], dtype=np.float64).reshape(-1, 2).T[:, None, :]
    inter = np.maximum(np.minimum(end, last) - np.maximum(start, first), 0.0)
    hull = np.maximum(end, last) - np.minimum(start, first)
    return np.asarray(inter / (np.minimum(hull, end - start + last - first) + TINY))


def _pairs(
    events: Sequence[CaptionedEvent],
    truths: Sequence[Sequence[CaptionedEvent]],
    overlaps: Sequence[Floats],
    threshold: float,
    tokens: Mapping[str, str],
    garbage: Sequence[str],
) -> Pairs:
    pairs: Pairs = []
    for number, event in enumerate(events):
        matched = [
            tokens[truth[other].sentence]
            for truth, overlap in zip(truths, overlaps, strict=True)
            for other in np.flatnonzero(overlap[number] >= threshold).tolist()
        ]
        pairs += [(tokens[event.sentence], reference) for reference in matched or [garbage[number]]]
    return pairs


def _precision_recall(overlaps: Sequence[Floats], threshold: float) -> tuple[float, float]:
    """Best precision and, independently, best recall over the references; overlaps must exceed the threshold."""
    hits = [overlap > threshold for overlap in overlaps]
    precision = max(float(hit.any(axis=1).mean()) if len(hit) else 0.0 for hit in hits)
    recall = max(float(hit.any(axis=0).mean()) if hit.size else 0.0 for hit in hits)
    return precision, recall


def _f1(precision: Floats, recall: Floats) -> Floats:
    total = precision + recall
    return np.asarray(np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0))


def _counts(
    references: Sequence[Captions], shown: Captions, predictions: Mapping[str, Sequence[CaptionedEvent]]
) -> dict[str, int]:
    every = [e for events in shown.values() for e in events]
    total = sum(len(events) for events in predictions.values())
    return {
        "videos": len(shown),
        "references": sum(len(events) for truth in references for events in truth.values()),
        "predictions": len(every),
        "predictions_in_unknown_videos": total - len(every),
        "predictions_not_positive": sum(e.end_s <= e.start_s for e in every),
        "predictions_without_words": sum(not e.sentence.strip() for e in every),
        "videos_without_predictions": sum(not events for events in shown.values()),
    }
