"""Class-agnostic proposals: average recall at an average number of proposals (AR@AN) and its area."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tsp.errors import TspError
from tsp.evaluation.detection import ACTIVITYNET_TIOUS
from tsp.evaluation.io import UNKNOWN, Floats, GroundTruth, Ints, ScoredSegments, read_ground_truth, read_proposals
from tsp.evaluation.protocol import ProtocolResult, check_tious, ranked_within, score_submission
from tsp.segments import tiou

STEPS = 100
_FRACTIONS = np.arange(1, STEPS + 1) / float(STEPS)
NEVER = np.iinfo(np.int64).max
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ProposalResult(ProtocolResult):
    """Recall against the number of proposals; ties are counted within videos.

    Args:
        tious: `T` thresholds.
        max_proposals: average number of proposals per video at the end of the curve.
        proposals_per_video: `[100]` abscissa.
        recall: `[T, 100]`, 0 to 1.
        auc: area under the average recall in percent of the whole.
    """

    tious: tuple[float, ...]
    max_proposals: float
    proposals_per_video: Floats
    recall: Floats
    auc: float

    @property
    def average_recall(self) -> Floats:
        """`[100]` mean over the thresholds."""
        return np.asarray(self.recall.mean(axis=0))


def proposal_recall(
    ground_truth: str | Path,
    proposals: str | Path,
    subset: str = "validation",
    tious: Sequence[float] = ACTIVITYNET_TIOUS,
    *,
    max_proposals: float | None = 100,
    dedup: bool = False,
    blocked: Collection[str] = (),
) -> ProposalResult:
    """Score a proposals file (detections are accepted, their labels ignored).

    Args:
        ground_truth: ActivityNet-style JSON.
        proposals: submission JSON.
        subset: the ground truth's own name of the subset.
        tious: thresholds, ascending, in (0, 1].
        max_proposals: average number per video at the end of the curve; None: as many as there are.
        dedup: drop duplicate and empty instances.
        blocked: videos left out of both files.

    Raises:
        TspError: naming file and entry of the first error.
    """
    truth = read_ground_truth(ground_truth, subset, blocked=blocked, dedup=dedup)
    return score_file(truth, proposals, tious, max_proposals=max_proposals)


def score_file(
    truth: GroundTruth,
    proposals: str | Path,
    tious: Sequence[float] = ACTIVITYNET_TIOUS,
    *,
    max_proposals: float | None = 100,
) -> ProposalResult:
    """Score a proposals file against ground truth that is read already.

    Args and Raises: as `proposal_recall`.
    """
    return score_submission(
        truth,
        proposals,
        read=read_proposals,
        evaluate=partial(evaluate, tious=tious, max_proposals=max_proposals),
    )


def evaluate(
    truth: GroundTruth,
    proposals: ScoredSegments,
    tious: Sequence[float] = ACTIVITYNET_TIOUS,
    *,
    max_proposals: float | None = 100,
) -> ProposalResult:
    """Score arrays.

    Each video is cut to the same share of its proposals, such that videos with instances would have `max_proposals`
    on average; proposals in unknown videos count in that share. Equal scores: the later row comes first.

    Args:
        truth: the instances; labels are ignored.
        proposals: the scored segments.
        tious: thresholds, ascending, in (0, 1].
        max_proposals: see `proposal_recall`.

    Paper: section 4 (AR@AN and AUC of ActivityNet, by its official protocol).
    """
    thresholds = check_tious(tious)
    videos = np.unique(truth.video)
    n_videos, n_proposals = len(videos), len(proposals.score)
    average = n_proposals / n_videos if max_proposals is None else float(max_proposals)
    if not average > 0 and max_proposals is not None:
        raise TspError(f"max_proposals {max_proposals}: expected a positive average number per video")
    found = np.bincount(proposals.video[proposals.video > UNKNOWN], minlength=len(truth.videos))[videos]
    share = average * n_videos / n_proposals if n_proposals else 0.0
    kept = np.minimum((found * share).astype(np.int64), found)
    if not kept.sum():
        log.warning("no proposal is left to look at; recall and AUC are 0")
        recall, abscissa, auc = np.zeros((len(thresholds), STEPS)), _FRACTIONS * average, 0.0
    else:
        first = _first_hits(truth, proposals, thresholds, dict(zip(videos.tolist(), kept.tolist(), strict=True)))
        recall, abscissa = _curve(first, np.searchsorted(videos, truth.video), kept, average)
        auc = 100 * float(np.trapezoid(recall.mean(axis=0), abscissa)) / float(abscissa[-1])
    return ProposalResult(
        tious=tuple(float(t) for t in thresholds),
        max_proposals=average,
        proposals_per_video=abscissa,
        recall=recall,
        auc=auc,
        tie_share=_tie_share(proposals),
        counts={"proposals_kept": int(kept.sum())} | truth.counts | proposals.counts,
        options=dict(truth.options),
    )


def scores_json(result: ProposalResult) -> dict[str, Any]:
    """The result as the content of a scores file; `AR` is a fraction, `AUC` percent.

    `curve` holds points [proposals per video, average recall]; AR@n is the n-th of them, which is true of n proposals
    only when the curve ends at 100.
    """
    recall = result.average_recall.tolist()
    at = {str(n): recall[n - 1] for n in (1, 5, 10, 100)} if result.max_proposals == STEPS else {}
    return {
        "AR": at,
        "AUC": result.auc,
        "max_proposals": result.max_proposals,
        "tie_share": result.tie_share,
        "curve": [list(point) for point in zip(result.proposals_per_video.tolist(), recall, strict=True)],
        "options": result.options,
        "counts": result.counts,
    }


def _tie_share(proposals: ScoredSegments) -> float:
    """Proposals in one video with one score, over all."""
    order = np.lexsort((proposals.score, proposals.video))
    video, score = proposals.video[order], proposals.score[order]
    same = (np.diff(video) == 0) & (np.diff(score) == 0)
    either = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    return float(either[: len(order)].mean()) if len(order) else 0.0


def _curve(first: Ints, video: Ints, kept: Ints, average: float) -> tuple[Floats, Floats]:
    """`[T, 100]` recall and `[100]` proposals per video.

    Args:
        first: `[T, N]` as `_first_hits`.
        video: `[N]` index of each instance's video into `kept`.
        kept: `[V]` proposals of each video with instances.
        average: proposals per video at the end of the curve.
    """
    # Order of operations as in the official code: it decides on which side of an integer a product falls.
    fractions = _FRACTIONS * (average * len(kept) / kept.sum())
    looked_at = np.minimum((kept[:, None] * fractions).astype(np.int64), kept[:, None])
    recall = (first[:, :, None] < looked_at[video][None]).sum(axis=1) / len(video)
    return recall, fractions * kept.sum() / len(kept)


def _first_hits(truth: GroundTruth, proposals: ScoredSegments, thresholds: Floats, kept: dict[int, int]) -> Ints:
    """`[T, N]`: rank, within its video, of the first kept proposal that reaches the threshold."""
    ranking = ranked_within(proposals.video, proposals.score)
    video = proposals.video[ranking]
    order = np.argsort(truth.video, kind="stable")
    first = np.full((len(thresholds), len(order)), NEVER)
    for instances in np.split(order, np.flatnonzero(np.diff(truth.video[order])) + 1):
        number = int(truth.video[instances[0]])
        begin = int(np.searchsorted(video, number))
        chosen = ranking[begin : begin + kept[number]]
        if len(chosen):
            hit = tiou(proposals.segments[chosen], truth.segments[instances])[None] >= thresholds[:, None, None]
            first[:, instances] = np.where(hit.any(axis=1), hit.argmax(axis=1), NEVER)
    return first
