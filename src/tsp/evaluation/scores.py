"""scores.json of an experiment: its detections, and its proposals where it made any."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsp.evaluation import detection, proposals


def score_experiment(
    annotations: str | Path,
    predictions: str | Path,
    proposed: str | Path | None,
    subset: str,
    tious: Sequence[float],
) -> dict[str, Any]:
    """Scores of one training.

    Args:
        annotations: canonical annotations.
        predictions: detections.
        proposed: proposals; None: none were made.
        subset: the annotation's own name of it.
        tious: thresholds of the detections; proposals are measured at ActivityNet's ten.

    Returns:
        `detection.scores_json`, with `AR`, `AUC` and `proposals` (the curve and the rest) of the proposals.
    """
    scores = detection.scores_json(detection.detection_map(annotations, predictions, subset, tious))
    if proposed is None:
        return scores
    found = proposals.scores_json(proposals.proposal_recall(annotations, proposed, subset))
    rest = {key: value for key, value in found.items() if key not in ("AR", "AUC")}
    return {**scores, "AR": found["AR"], "AUC": found["AUC"], "proposals": rest}
