"""The ActivityNet protocol written down row by row: slow, with nothing in common with the library's code."""

import math


def tiou(p, g, strict):
    inter = max(0.0, min(p[1], g[1]) - max(p[0], g[0]))
    union = (g[1] - g[0]) + (p[1] - p[0]) - inter
    if union > 0:
        return inter / union
    return math.inf if strict and union == 0 else 0.0


def average_precision(instances, predictions, threshold, strict=False):
    """AP of one class; `instances`: [(video, (start, end))], `predictions`: [(video, (start, end), score)]."""
    ranked = sorted(enumerate(predictions), key=lambda item: (-item[1][2], -item[0]))
    by_video = {}
    for row, (video, segment) in enumerate(instances):
        by_video.setdefault(video, []).append((row, segment))
    taken, precision, hits = set(), [], []
    for rank, (_, (video, segment, _)) in enumerate(ranked, 1):
        overlaps = [(tiou(segment, g, strict), row) for row, g in by_video.get(video, [])]
        hit = False
        for overlap, row in sorted(overlaps, reverse=True):
            if overlap < threshold:
                break
            if row not in taken:
                taken.add(row)
                hit = True
                break
        hits.append(hit)
        precision.append(len(taken) / rank)
    best, total = 0.0, 0.0
    for hit, p in zip(reversed(hits), reversed(precision), strict=True):
        best = max(best, p)
        total += best * hit
    return total / len(instances)
