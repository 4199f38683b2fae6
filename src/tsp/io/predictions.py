"""ActivityNet submissions: `{"version", "results": {video: [{label, score, segment}]}, "external_data"}`."""

import math
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import read_json, write_json

Predictions = dict[str, list[dict[str, Any]]]


def write_predictions(path: str | Path, results: Predictions, *, version: str, external_data: Any = None) -> None:
    """Write detections (or proposals, without `label`), full precision, names without `v_`.

    Args:
        results: video name -> entries `{"label": str, "score": float, "segment": [start_s, end_s]}`.
        version: free text: the method.
        external_data: what the official format asks for outside data; provenance goes here too.
    """
    document = {"version": version, "results": results, "external_data": external_data or {}}
    write_json(path, document, indent=None)


def read_predictions(path: str | Path) -> Predictions:
    """Read a submission and check every entry.

    Raises:
        TspError: naming file, video and entry of the first fault.
    """
    document = read_json(path)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict):
        raise TspError(f"{path}: no 'results' object; expected an ActivityNet submission")
    for video, entries in results.items():
        if not isinstance(entries, list):
            raise TspError(f"{path}: results[{video!r}] is no list")
        for number, entry in enumerate(entries):
            _check(entry, f"{path}: results[{video!r}][{number}]")
    return results


def _check(entry: Any, where: str) -> None:
    try:
        start, end = (float(t) for t in entry["segment"])
        score = float(entry["score"])
    except (TypeError, KeyError, ValueError) as error:
        raise TspError(f"{where}: expected segment [start, end] in seconds and a score ({error!r})") from error
    if not all(map(math.isfinite, (start, end, score))):
        raise TspError(f"{where}: segment or score is not finite")
