"""From raw predictions to a predictions file, for the methods with a map of segments.

T snippets, N segments.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.hdf5 import open_hdf5
from tsp.io.predictions import write_predictions
from tsp.localise.data import duration_s
from tsp.localise.labels import VideoScores
from tsp.localise.method import Raw
from tsp.localise.nms import Scored, Suppression, suppress
from tsp.localise.windows import Window, Windows, merge
from tsp.progress import progress
from tsp.types import Video

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]
Maps = Mapping[str, Floats]
# Digits of seconds and of scores if output is rounded (G-TAD on THUMOS14).
DIGITS = (1, 6)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """How maps become segments.

    Args:
        scored: maps -> scored segments, in units of the video or window.
        rule: Soft-NMS; with windows first of each window, then of all together.
        length_s: seconds of the unit of segments, of a video without windows.
    """

    scored: Callable[[Maps], Scored]
    rule: Suppression
    length_s: Callable[[Video], float] = duration_s


def read_raw(raw: Raw, windows: Windows | None) -> Iterator[tuple[Video, list[tuple[Window | None, Maps]]]]:
    """Videos in the order of the annotations, each with its maps (float64): one, or one per window.

    Raises:
        TspError: a damaged file, or one made with windows if none are expected, or the reverse.
    """
    try:
        with open_hdf5(raw.path, "r") as file:
            for video in read_annotations(raw.annotations):
                if video.subset == raw.subset and video.name in file:
                    group = file[video.name]
                    if ("fps" in group.attrs) != (windows is not None):
                        raise TspError(f"{raw.path}: `windows` has changed since the inference; run it again")
                    yield video, _pieces(group)
    except OSError as error:
        raise TspError(f"{raw.path}: damaged raw predictions ({error}); run the inference again") from error


def _pieces(group: h5py.Group) -> list[tuple[Window | None, Maps]]:
    if "fps" not in group.attrs:
        return [(None, _maps(group))]
    fps, frames = float(group.attrs["fps"]), int(group.attrs["frames"])
    firsts = sorted(int(name) for name in group)
    return [(Window(first=at, fps=fps, frames=frames), _maps(group[str(at)])) for at in firsts]


def _maps(group: h5py.Group) -> Maps:
    return {name: np.asarray(rows[()], np.float64) for name, rows in group.items()}


def scored_seconds(raw: Raw, selection: Selection, length: int, windows: Windows | None) -> dict[str, Scored]:
    """Suppressed segments of every video, in seconds.

    Args:
        raw: raw predictions.
        selection: segments, scores, suppression, and seconds.
        length: T.
        windows: cutting of long videos; None: a whole video is one map.

    Returns:
        Video name -> segments `[N, 2]` and scores `[N]`, in order of emission.
    """
    videos = progress(read_raw(raw, windows), desc="candidates", unit="video")
    if windows is not None:
        found = {}
        for video, pieces in videos:
            cut = [(window, selection.scored(maps)) for window, maps in pieces if window is not None]
            found[video.name] = merge(cut, length, windows, selection.rule)
        return found
    seconds, whole = {}, []
    for video, pieces in videos:
        seconds[video.name] = selection.length_s(video)
        whole.append(selection.scored(pieces[0][1]))
    kept = suppress(whole, selection.rule)
    return {
        name: (np.clip(segments, 0.0, 1.0) * video_s, scores)
        for (name, video_s), (segments, scores) in zip(seconds.items(), kept, strict=True)
    }


def write_segments(
    output: Path,
    found: Mapping[str, Scored],
    *,
    version: str,
    facts: dict[str, Any],
    labels: tuple[VideoScores, int] | None,
    rounded: bool = False,
) -> None:
    """Write segments as detections or proposals.

    Args:
        output: predictions.json.
        found: `scored_seconds`.
        version: the method.
        facts: provenance.
        labels: class scores, and the number of classes assigned to each segment, whose score is multiplied by the
            class's; None: proposals without labels.
        rounded: seconds to 0.1, scores to 6 decimals.
    """
    results = {}
    for name, (segments, scores) in found.items():
        classes: list[tuple[str | None, float]] = (
            [(None, 1.0)] if labels is None else [*labels[0].best(name, labels[1])]
        )
        by_class = [
            [
                {**({} if label is None else {"label": label}), "score": score, "segment": segment}
                for segment, score in zip(segments.tolist(), (scores * share).tolist(), strict=True)
            ]
            for label, share in classes
        ]
        # Rounding makes ties, so the order matters: the released code that rounds groups by segment.
        order = zip(*by_class, strict=True) if rounded else by_class
        entries = [entry for group in order for entry in group]
        results[name] = [_rounded(entry) for entry in entries] if rounded else entries
    kind = "proposals" if labels is None else "detections"
    log.info("%d %s in %d videos", sum(map(len, results.values())), kind, len(results))
    write_predictions(output, results, version=version, external_data={"used": labels is not None, "details": facts})


def _rounded(entry: dict[str, Any]) -> dict[str, Any]:
    # Python's rounding, as released; NumPy's differs in the last digit.
    seconds, digits = DIGITS
    segment = [round(t, seconds) for t in entry["segment"]]
    return {**entry, "score": round(entry["score"], digits), "segment": segment}
