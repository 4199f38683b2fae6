"""Scores of an experiment: captions of learned proposals, and of annotated segments."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tsp.caption.text import read_available
from tsp.evaluation.captions import TEXT_METRICS, CaptionResult, caption_scores, scores_json
from tsp.evaluation.meteor import Meteor

SEGMENTS = ("precision", "recall", "F1")
# The one threshold at which the TSP authors' script scores captions of annotated segments.
SCRIPT_TIOU = 0.5


def score(
    learned: str | Path, annotated: Sequence[str | Path], references: Sequence[str | Path], available: str | Path | None
) -> dict[str, Any]:
    """Means over tIoU 0.3, 0.5, 0.7 and 0.9, as fractions.

    Args:
        learned: captions of proposals, scored against all reference files together.
        annotated: captions of the segments of each reference file, scored against that file and averaged.
        references: ActivityNet Captions files.
        available: list of the videos to score; None: all.

    Returns:
        The metrics by name (`BLEU` by its order); those of annotated segments start with `annotated_`, at tIoU 0.5
        alone (the TSP authors' script) with `annotated_tiou50_`; full results under `learned` and `annotated`.

    Raises:
        TspError: an invalid file (with its first invalid entry); Java is missing.

    Paper: BMT section 4; table of dense captioning.
    """
    only = read_available(available)
    with Meteor() as meteor:
        found = caption_scores(references, learned, only=only, meteor=meteor)
        single = [
            caption_scores([path], shown, only=only, meteor=meteor)
            for path, shown in zip(references, annotated, strict=True)
        ]
    numbers = {name: found.average(name) for name in SEGMENTS} | _texts([found])
    numbers |= {f"annotated_{name}": value for name, value in _texts(single).items()}
    numbers |= {f"annotated_tiou50_{name}": value for name, value in _texts(single, SCRIPT_TIOU).items()}
    return {**numbers, "learned": scores_json(found), "annotated": [scores_json(result) for result in single]}


def _texts(results: Sequence[CaptionResult], tiou: float | None = None) -> dict[str, Any]:
    """Means over results of the scores at a threshold; None: averaged over all thresholds."""
    means = {
        name: float(np.mean([r.average(name) if tiou is None else r.at(name, tiou) for r in results]))
        for name in TEXT_METRICS
    }
    bleu = {name.partition("@")[2]: value for name, value in means.items() if name.startswith("BLEU@")}
    return {name: value for name, value in means.items() if "@" not in name} | {"BLEU": bleu}
