"""The proposals of a localiser before any suppression, written as a list."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.predictions import read_predictions
from tsp.localise.data import duration_s, snippet_duration_s
from tsp.localise.nms import Scored
from tsp.localise.proposal_lists import Clock, class_names, make_list, write_list
from tsp.localise.session import read_raw
from tsp.progress import progress

Floats = NDArray[np.float64]


def from_raw(method: Any, config: Any, raw: Path, annotations: Path, subset: str) -> dict[str, Scored]:
    """Every candidate of a localiser that predicts a map of segments.

    Args:
        method: module with `candidates` (`localise.bmn`) or `proposals` (`localise.gtad`).
        config: the module's Config.
        raw: its raw predictions.
        annotations: canonical annotations.
        subset: the annotations' own name of it.

    Returns:
        Video name -> segments `[n, 2]` in seconds, scores `[n]`.

    Raises:
        TspError: the method offers neither.
    """
    if not hasattr(method, "candidates") and not hasattr(method, "proposals"):
        raise TspError(f"{method.__name__}: offers no candidates; give its predictions as a file instead")
    length_s = snippet_duration_s if getattr(config, "proposal_time_base", "") == "snippets" else duration_s
    found = {}
    for video, maps in progress(read_raw(raw, annotations, subset), desc="candidates", unit="video"):
        segments, scores = _candidates(method, config, maps)
        found[video.name] = (segments * length_s(video), scores)
    return found


def _candidates(method: Any, config: Any, maps: dict[str, Floats]) -> Scored:
    parts = (maps["map"], maps["start"], maps["end"], config)
    if hasattr(method, "candidates"):
        made = method.candidates(*parts)
        return made.segments, made.score
    segments, scores = method.proposals(*parts)
    return segments, scores


def from_predictions(path: Path) -> dict[str, Scored]:
    """Proposals, or detections whose classes are ignored, of a file in ActivityNet's format; repeated segments once."""
    return {name: _distinct(entries) for name, entries in read_predictions(path).items()}


def _distinct(entries: list[dict[str, Any]]) -> Scored:
    best: dict[tuple[float, float], float] = {}
    for entry in sorted(entries, key=lambda e: -float(e["score"])):
        start, end = entry["segment"]
        best.setdefault((float(start), float(end)), float(entry["score"]))
    return np.array(list(best), np.float64).reshape(-1, 2), np.array(list(best.values()), np.float64)


def write_proposals(
    found: dict[str, Scored],
    *,
    annotations: Path,
    subset: str,
    metadata: Path | None,
    keep: int | None,
    output: Path,
) -> None:
    """Describe proposals by the annotations and write them as a list.

    Args:
        found: video name -> segments in seconds and scores.
        annotations: canonical annotations; labels are places in the alphabetical order of their classes.
        subset: the annotations' own name of it.
        metadata: frames and rate of its videos; None: the annotations' durations at 30 fps.
        keep: proposals of a video, best first; None: all.
        output: text file.

    Raises:
        TspError: no video of the subset has proposals.
    """
    videos = read_annotations(annotations)
    own = [v for v in videos if v.subset == subset]
    made = make_list(own, found, Clock.read(metadata), class_names(videos), keep)
    if not made:
        raise TspError(f"{annotations}: none of the {len(own)} {subset!r} videos has proposals")
    write_list(output, made)
