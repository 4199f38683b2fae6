"""The files of a finished training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsp.encoders.weights import save_encoder
from tsp.io.files import atomic
from tsp.training import checkpoint
from tsp.training.task import FitResult


def save_trained(
    weights: Path, result: FitResult, facts: Mapping[str, Any], work_dir: Path, *, log: Path | None = None
) -> None:
    """Write log, weights and facts of a training, then drop its checkpoints.

    The log is written first and the checkpoints are removed last: after a kill at any point a rerun resumes and
    completes the files.

    Args:
        weights: the `.safetensors` file; its facts are written to `<stem>.json` beside it.
        result: what `fit` returned.
        facts: JSON-able content of that file.
        work_dir: the folder that `fit` used.
        log: where the training log is copied to; None: `log.jsonl` beside the weights.

    Raises:
        TspError: the disk is full.
    """
    with atomic(log or weights.with_name(checkpoint.LOG)) as temporary:
        temporary.write_bytes((work_dir / checkpoint.LOG).read_bytes())
    save_encoder(weights, result.state, facts)
    checkpoint.clear(work_dir)
