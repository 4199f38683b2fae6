"""The proposals of a localiser before any suppression, written as a list."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.predictions import read_predictions
from tsp.localise.data import duration_s, snippet_duration_s
from tsp.localise.maps.detections import Maps, Raw, read_raw
from tsp.localise.nms import Scored
from tsp.localise.pgcn.proposal_lists import Clock, class_names, make_list, write_list
from tsp.localise.windows import Window
from tsp.progress import progress

Floats = NDArray[np.float64]
Facts = dict[str, tuple[int, float]]


def from_raw(method: Any, config: Any, raw: Raw) -> tuple[dict[str, Scored], Facts]:
    """Every candidate of a localiser that predicts a map of segments.

    Args:
        method: module with `candidates` (`localise.bmn`) or `proposals` (`localise.gtad`).
        config: the module's Config.
        raw: its raw predictions.

    Returns:
        Video name -> segments `[n, 2]` in seconds, scores `[n]`; video name -> frames and frame rate, of videos that
        were cut into windows.

    Raises:
        TspError: the method offers neither.
    """
    if not hasattr(method, "candidates") and not hasattr(method, "proposals"):
        raise TspError(f"{method.__name__}: offers no candidates; give its predictions as a file instead")
    length_s = snippet_duration_s if getattr(config, "proposal_time_base", "") == "snippets" else duration_s
    found, facts = {}, {}
    for video, pieces in progress(read_raw(raw, config.windows), desc="candidates", unit="video"):
        cut = [(window, _candidates(method, config, maps)) for window, maps in pieces]
        windows = [(window, scored) for window, scored in cut if window is not None]
        if windows:
            found[video.name] = _together(windows, config)
            facts[video.name] = (windows[0][0].frames, windows[0][0].fps)
        else:
            segments, scores = cut[0][1]
            found[video.name] = (segments * length_s(video), scores)
    return found, facts


def _candidates(method: Any, config: Any, maps: Maps) -> Scored:
    parts = (maps["map"], maps["start"], maps["end"], config)
    if hasattr(method, "candidates"):
        made = method.candidates(*parts)
        return made.segments, made.score
    segments, scores = method.proposals(*parts)
    return segments, scores


def _together(pieces: Sequence[tuple[Window, Scored]], config: Any) -> Scored:
    """Candidates of all windows of a video in seconds; what two windows propose is there once, with its best score."""
    windows, video, found = config.windows, pieces[0][0], []
    for window, (segments, scores) in pieces:
        frames = windows.step_frames * (np.rint(segments * config.length) + window.first)
        short = np.inf if windows.longest_frames is None else windows.longest_frames
        kept = frames[:, 1] - frames[:, 0] < short
        found.append((np.clip(frames[kept], 0.0, video.frames), scores[kept]))
    frames, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(-scores, kind="stable")
    first = np.sort(np.unique(frames[order], axis=0, return_index=True)[1])
    return frames[order[first]] / video.fps, scores[order[first]]


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
    facts: Mapping[str, tuple[int, float]] | None = None,
) -> None:
    """Describe proposals by the annotations and write them as a list.

    Args:
        found: video name -> segments in seconds and scores.
        annotations: canonical annotations; labels are places in the alphabetical order of their classes.
        subset: the annotations' own name of it.
        metadata: frames and rate of its videos; None: see `Clock`.
        keep: proposals of a video, best first; None: all.
        output: text file.
        facts: frames and rate by video name, of videos without metadata.

    Raises:
        TspError: no video of the subset has proposals.
    """
    videos = read_annotations(annotations)
    own = [v for v in videos if v.subset == subset]
    made = make_list(own, found, Clock.read(metadata, facts), class_names(videos), keep)
    if not made:
        raise TspError(f"{annotations}: none of the {len(own)} {subset!r} videos has proposals")
    write_list(output, made)
