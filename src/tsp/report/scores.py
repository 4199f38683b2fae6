"""Content of scores.json files, and the metrics in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import read_json

# Experiment, run, seed.
Cell = tuple[str, str, int]
Scores = Mapping[Cell, Mapping[str, Any]]


def read_scores(paths: Mapping[Cell, str | Path]) -> dict[Cell, dict[str, Any]]:
    """Read scores.json files by (experiment, run, seed)."""
    return {cell: read_json(path) for cell, path in paths.items()}


def metric_value(scores: Mapping[str, Any], metric: str, where: str) -> float | None:
    """Look up `mAP@0.5`, `AR@100`, `average_mAP`, ... in the content of a scores.json.

    Of its error analyses, `length@XS` is the normalised average mAP of the shortest instances, `missed_length@XS` the
    share of them that is missed; `coverage` and `instances` likewise. A bucket without instances is None.

    Raises:
        TspError: not there; the message lists what is.
    """
    name, _, at = metric.partition("@")
    scores = {**_by_bucket(scores.get("errors") or {}), **scores.get("proposals", {}), **scores}
    try:
        value = scores[name][f"{float(at):.2f}" if name == "mAP" else at] if at else scores[name]
        return None if value is None else float(value)
    except (KeyError, TypeError, ValueError) as error:
        known = [k for k, v in scores.items() if isinstance(v, int | float)]
        known += [f"{k}@{at}" for k in ("mAP", "AR") for at in scores.get(k, {})]
        raise TspError(f"{where}: no metric {metric!r}; there are {', '.join(known)}") from error


def _by_bucket(errors: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for name, analysis in errors.get("sensitivity", {}).items():
        if isinstance(analysis, Mapping):
            found[name] = {size: bucket["average_mAP_N"] for size, bucket in analysis["buckets"].items()}
            misses = errors["false_negatives"][name]
            found[f"missed_{name}"] = {size: bucket["missed"] for size, bucket in misses.items()}
    return found
