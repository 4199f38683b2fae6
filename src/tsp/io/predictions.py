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
            if fault := _fault(entry):
                raise TspError(f"{path}: results[{video!r}][{number}]: {fault}")
    return results


def _fault(entry: Any) -> str:
    """What is wrong with an entry; half a million of them are read at once, so nothing is prepared for the worst."""
    try:
        start, end = entry["segment"]
        # A sum is finite only if all are; text that spells a number is no sum but is accepted.
        total = float(start) + float(end) + float(entry["score"])
    except (TypeError, KeyError, ValueError) as error:
        return f"expected segment [start, end] in seconds and a score ({error!r})"
    return "" if math.isfinite(total) else "segment or score is not finite"
