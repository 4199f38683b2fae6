"""Gaussian Soft-NMS as its definition reads, one number at a time."""

import numpy as np


def soft_nms(segments, scores, divisor, keep, above=None):
    """Rows (start, end, decayed score) in order of emission; `above` as in the library."""
    order = sorted(range(len(scores)), key=lambda k: -scores[k])
    left = [[segments[k][0], segments[k][1], scores[k]] for k in order]
    emitted = []
    while len(left) > 1 and len(emitted) < keep:
        best = max(range(len(left)), key=lambda k: left[k][2])
        if left[best][2] <= 0:
            break
        start, end, score = left.pop(best)
        emitted.append((start, end, score))
        for other in left:
            overlap = min(other[1], end) - max(other[0], start)
            if above is not None:
                overlap = max(overlap, 0.0)
                union = other[1] - other[0] - overlap + end - start
                share = overlap / union if union > 0 else 0.0
                if share > above[0] + (above[1] - above[0]) * (end - start):
                    other[2] *= float(np.exp(-(share * share) / divisor))
            elif overlap > 0:
                share = overlap / (max(other[1], end) - min(other[0], start))
                other[2] *= float(np.exp(-(share * share) / divisor))
    return emitted
