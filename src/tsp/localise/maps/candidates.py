"""The candidates of a method with a map of segments before any suppression, in seconds."""

from collections.abc import Sequence

import numpy as np

from tsp.localise.maps.detections import Selection, read_raw
from tsp.localise.method import Candidates, Raw
from tsp.localise.nms import Scored
from tsp.localise.windows import Window, Windows
from tsp.progress import progress


def unsuppressed(raw: Raw, selection: Selection, length: int, windows: Windows | None) -> Candidates:
    """Every segment that a selection scores.

    Args:
        raw: raw predictions.
        selection: segments, scores, and seconds.
        length: T.
        windows: cutting of long videos.
    """
    found, frames = {}, {}
    for video, pieces in progress(read_raw(raw, windows), desc="candidates", unit="video"):
        scored = [(window, selection.scored(maps)) for window, maps in pieces]
        if windows is None:
            segments, scores = scored[0][1]
            found[video.name] = (segments * selection.length_s(video), scores)
        else:
            cut = [(window, one) for window, one in scored if window is not None]
            found[video.name] = _together(cut, length, windows)
            frames[video.name] = (cut[0][0].frames, cut[0][0].fps)
    return Candidates(found=found, frames=frames)


def _together(pieces: Sequence[tuple[Window, Scored]], length: int, windows: Windows) -> Scored:
    """Candidates of all windows of a video, in seconds; a segment of two windows once, with its best score."""
    video, found = pieces[0][0], []
    for window, (segments, scores) in pieces:
        frames = windows.step_frames * (np.rint(segments * length) + window.first)
        longest = np.inf if windows.longest_frames is None else windows.longest_frames
        kept = frames[:, 1] - frames[:, 0] < longest
        found.append((np.clip(frames[kept], 0.0, video.frames), scores[kept]))
    frames, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(-scores, kind="stable")
    first = np.sort(np.unique(frames[order], axis=0, return_index=True)[1])
    return frames[order[first]] / video.fps, scores[order[first]]
