"""Submissions: ActivityNet's JSON `{"version", "results": {video: [{label, score, segment}]}, "external_data"}`, and
the text format of THUMOS14, one detection per line.
"""

import math
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import atomic, read_json, read_text, write_json

Predictions = dict[str, list[dict[str, Any]]]
# Ids in UCF101, from 1, of the classes of the THUMOS14 detection task.
THUMOS14_CLASSES = {
    7: "BaseballPitch", 9: "BasketballDunk", 12: "Billiards", 21: "CleanAndJerk", 22: "CliffDiving",
    23: "CricketBowling", 24: "CricketShot", 26: "Diving", 31: "FrisbeeCatch", 33: "GolfSwing", 36: "HammerThrow",
    40: "HighJump", 45: "JavelinThrow", 51: "LongJump", 68: "PoleVault", 79: "Shotput", 85: "SoccerPenalty",
    92: "TennisSwing", 93: "ThrowDiscus", 97: "VolleyballSpiking",
}  # fmt: skip


def write_predictions(path: str | Path, results: Predictions, *, version: str, external_data: Any = None) -> None:
    """Write detections (or proposals, which have no `label`), full precision, videos by name.

    Args:
        results: video name -> entries `{"label": str, "score": float, "segment": [start_s, end_s]}`.
        version: free text: the method.
        external_data: statement on external data in the official format; also holds the provenance.

    Raises:
        TspError: naming video and entry of the first error.
    """
    check_predictions(path, results)
    document = {"version": version, "results": results, "external_data": external_data or {}}
    write_json(path, document, indent=None)


def read_predictions(path: str | Path) -> Predictions:
    """Read a submission and check every entry.

    Args:
        path: JSON, or `.txt` in the format of THUMOS14; gzip accepted.

    Raises:
        TspError: naming file, video and entry of the first error.
    """
    if Path(path).name.removesuffix(".gz").endswith(".txt"):
        return read_thumos14(path)
    document = read_json(path, unique=True)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict):
        raise TspError(f"{path}: no 'results' object; expected an ActivityNet submission")
    check_predictions(path, results)
    return results


def check_predictions(path: str | Path, results: dict[str, Any]) -> None:
    """Check every entry.

    Raises:
        TspError: naming `path`, video and entry of the first error.
    """
    for video, entries in results.items():
        if not isinstance(entries, list):
            raise TspError(f"{path}: results[{video!r}] is not a list")
        for number, entry in enumerate(entries):
            if reason := _error_in(entry):
                raise TspError(f"{path}: results[{video!r}][{number}]: {reason}")


def write_thumos14(path: str | Path, results: Predictions) -> None:
    """Write detections in the official text format of THUMOS14: `video start end class-id score`, full precision.

    Args:
        results: as `write_predictions`; labels are those of THUMOS14.

    Raises:
        TspError: naming video and entry of the first error.
    """
    check_predictions(path, results)
    ids = {label: number for number, label in THUMOS14_CLASSES.items()}
    lines = []
    for video, entries in results.items():
        if not video or video.split() != [video]:
            raise TspError(f"{path}: results[{video!r}]: the name contains spaces, which the format does not allow")
        for number, entry in enumerate(entries):
            label = entry.get("label")
            if label not in ids:
                raise TspError(
                    f"{path}: results[{video!r}][{number}]: label {label!r:.80} is none of the 20 THUMOS14 classes"
                )
            start, end, score = (float(t) for t in (*entry["segment"], entry["score"]))
            lines.append(f"{video} {start!r} {end!r} {ids[label]} {score!r}\n")
    with atomic(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def read_thumos14(path: str | Path) -> Predictions:
    """Read the official text format of THUMOS14 (see `write_thumos14`); empty lines are skipped.

    Raises:
        TspError: naming file and line of the first error.
    """
    results: Predictions = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        where = f"{path}: line {number}"
        if len(words) != 5:
            raise TspError(f"{where}: {len(words)} columns; expected video, start, end, class id and score")
        video, start, end, class_id, score = words
        try:
            if "_" in start + end + class_id + score:
                raise ValueError("digits with underscores")
            label = THUMOS14_CLASSES[int(class_id)]
            entry = {"segment": [float(start), float(end)], "score": float(score), "label": label}
        except KeyError as error:
            ids = ", ".join(map(str, THUMOS14_CLASSES))
            raise TspError(f"{where}: class {class_id} is none of the THUMOS14 classes ({ids})") from error
        except ValueError as error:
            raise TspError(f"{where}: expected video, start, end, class id and score ({error})") from error
        if reason := _error_in(entry):
            raise TspError(f"{where}: {reason}")
        results.setdefault(video, []).append(entry)
    return results


def _error_in(entry: Any) -> str:
    """What is wrong with an entry, or "". Fast path first: half a million entries are checked at once."""
    try:
        segment = entry["segment"]
        start, end = segment
        score = entry["score"]
        # A sum is finite only if all terms are; numbers given as text are accepted.
        total = float(start) + float(end) + float(score)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        return f"expected segment [start, end] in seconds and a score ({error!r})"
    # A text of two digits, or an object of two numbered keys, would unpack into two numbers.
    if segment.__class__ is not list and segment.__class__ is not tuple:
        return f"segment is {segment!r:.80}; expected [start, end] in seconds"
    if start.__class__ is not float or end.__class__ is not float or score.__class__ is not float:
        odd = [x for x in (start, end, score) if isinstance(x, bool) or (isinstance(x, str) and "_" in x)]
        if odd:
            return f"{odd[0]!r:.80} is no number; expected segment [start, end] in seconds and a score"
    return "" if math.isfinite(total) else "segment or score is not finite"
