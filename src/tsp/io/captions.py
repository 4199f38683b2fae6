"""ActivityNet Captions: references and submissions, with every entry validated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.annotations import read_number
from tsp.io.files import read_json, write_json


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionedEvent:
    """An interval of a video with its description.

    Args:
        start_s: first second.
        end_s: last second; before `start_s` in a few official annotations, kept as published.
        sentence: free text.
        score: of the proposal; None in references and if not stated.
    """

    start_s: float
    end_s: float
    sentence: str
    score: float | None = None


Captions = dict[str, list[CaptionedEvent]]


def read_references(path: str | Path) -> Captions:
    """Read `{video: {"duration", "timestamps": [[s, e], ...], "sentences": [...]}}` (gzip accepted).

    Raises:
        TspError: naming file, video and entry of the first error.
    """
    document = _document(path)
    if not document:
        raise TspError(f"{path}: no video; expected ActivityNet Captions annotations")
    return {video: _reference(entry, f"{path}: {video!r}") for video, entry in document.items()}


def read_captions(path: str | Path, *, most: int | None = None) -> Captions:
    """Read a submission `{"results": {video: [{"sentence", "timestamp", "proposal_score"?}]}}` (gzip accepted).

    Args:
        path: the file.
        most: number of captions per video, the first ones; None: all.

    Raises:
        TspError: naming file, video and entry of the first error.
    """
    results = _document(path).get("results")
    if not isinstance(results, dict):
        raise TspError(f"{path}: no 'results' object; expected an ActivityNet Captions submission")
    for video, entries in results.items():
        if not isinstance(entries, list):
            raise TspError(f"{path}: results[{video!r}] is not a list")
    return {
        video: [_caption(e, f"{path}: results[{video!r}][{n}]") for n, e in enumerate(entries)][:most]
        for video, entries in results.items()
    }


def write_captions(
    path: str | Path, results: Mapping[str, Sequence[CaptionedEvent]], *, version: str, external_data: Any = None
) -> None:
    """Write a submission, full precision, videos by key as in the references.

    Args:
        path: the JSON.
        results: video -> captions, best proposals first.
        version: free text: the method.
        external_data: statement on external data in the official format; also holds the provenance.

    Raises:
        TspError: a time that is not finite.
    """
    for video, events in results.items():
        for number, e in enumerate(events):
            _finite((e.start_s, e.end_s, 0 if e.score is None else e.score), f"{path}: results[{video!r}][{number}]")
    document = {
        "version": version,
        "external_data": external_data or {"used": False, "details": ""},
        "results": {
            video: [
                {"sentence": e.sentence, "timestamp": [e.start_s, e.end_s]}
                | ({} if e.score is None else {"proposal_score": e.score})
                for e in events
            ]
            for video, events in results.items()
        },
    }
    write_json(path, document, indent=None)


def _document(path: str | Path) -> dict[str, Any]:
    if Path(path).is_file() and not Path(path).stat().st_size:
        raise TspError(f"{path}: the file is empty; expected JSON")
    document = read_json(path, unique=True)
    if not isinstance(document, dict):
        raise TspError(f"{path}: expected a JSON object, found {type(document).__name__}")
    return document


def _reference(entry: Any, where: str) -> list[CaptionedEvent]:
    try:
        times, sentences = entry["timestamps"], entry["sentences"]
        if not isinstance(times, list) or not isinstance(sentences, list):
            raise TypeError(f"timestamps {times!r:.40}, sentences {sentences!r:.40}")
        paired = list(zip(times, sentences, strict=True))
    except (TypeError, KeyError, ValueError) as error:
        raise TspError(f"{where}: expected timestamps and as many sentences ({error!r})") from error
    return [_event(t, s, None, f"{where}: timestamps and sentences [{n}]") for n, (t, s) in enumerate(paired)]


def _caption(entry: Any, where: str) -> CaptionedEvent:
    if not isinstance(entry, dict) or "timestamp" not in entry or "sentence" not in entry:
        raise TspError(f"{where}: expected an object with timestamp [start, end] and sentence")
    score = entry.get("proposal_score")
    # The released code wrote the score as a list of one number.
    score = score[0] if isinstance(score, list) and len(score) == 1 else score
    return _event(entry["timestamp"], entry["sentence"], score, where)


def _event(timestamp: Any, sentence: Any, score: Any, where: str) -> CaptionedEvent:
    if not isinstance(sentence, str):
        raise TspError(f"{where}: the sentence is {sentence!r:.80}; expected text")
    try:
        if not isinstance(timestamp, list | tuple):
            raise TypeError(f"timestamp {timestamp!r:.40}")
        start, end = (read_number(t, "time") for t in timestamp)
        score = None if score is None else read_number(score, "score")
    except (TypeError, ValueError, OverflowError) as error:
        raise TspError(f"{where}: expected [start, end] in seconds and at most one score ({error!r})") from error
    _finite((start, end, score or 0.0), where)
    return CaptionedEvent(start_s=start, end_s=end, sentence=sentence, score=score)


def _finite(numbers: tuple[float, ...], where: str) -> None:
    if not all(map(math.isfinite, numbers)):
        raise TspError(f"{where}: a time or score is not finite")
