"""Non-maximum suppression of scored segments."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def soft_nms(segments: Floats, scores: Floats, *, divisor: float, keep: int) -> tuple[Floats, Floats]:
    """Gaussian Soft-NMS: emit the best segment, decay the others by exp(-tIoU^2 / divisor), repeat.

    Stops when `keep` are emitted, one candidate is left, or the best score is 0. The last candidate is never
    emitted (released code, without effect in practice). Equal scores: the earlier row first.

    Args:
        segments: `[N, 2]` start and end, any unit.
        scores: `[N]`, not negative.
        divisor: 0.8 for ActivityNet, 0.46 for THUMOS14.
        keep: at most this many.

    Returns:
        `[M, 2]` segments and their `[M]` decayed scores, in order of emission.

    Paper: G-TAD section 4 (inference).
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    start, end = np.asarray(segments, dtype=np.float64)[order].T
    left = np.asarray(scores, dtype=np.float64)[order]
    rows: list[int] = []
    found: list[float] = []
    while len(left) - len(rows) > 1 and len(rows) < keep:
        best = int(np.argmax(left))
        score = float(left[best])
        if score <= 0:
            break
        rows.append(best)
        found.append(score)
        overlap = np.minimum(end, end[best]) - np.maximum(start, start[best])
        hull = np.maximum(end, end[best]) - np.minimum(start, start[best])
        near = overlap > 0
        share = overlap[near] / hull[near]
        left[near] *= np.exp(-(share * share) / divisor)
        left[best] = -1.0
    return np.stack([start[rows], end[rows]], axis=1), np.array(found)
