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


def detad(instances, predictions, threshold, norm, inside, min_precision=0.0):
    """DETAD at one threshold; `instances`: [(video, label, (start, end))], `predictions`: [(…, score)].

    Returns kinds by row, normalised AP per class, misses by instance, and normalised AP per class of the instances
    numbered in `inside` (None without any), detections of other instances left out.
    """
    kinds, ap, missed, part = {}, [], set(range(len(instances))), []
    for k in sorted({label for _, label, _ in instances}):
        rows = [n for n, p in enumerate(predictions) if p[1] == k]
        matched, taken = {}, set()
        for n in sorted(rows, key=lambda n: (-predictions[n][3], -n)):
            video, _, segment, _ = predictions[n]
            mine = [
                (tiou(segment, s, False), i) for i, (v, label, s) in enumerate(instances) if (v, label) == (video, k)
            ]
            free = [(u, i) for u, i in sorted(mine, reverse=True) if u >= threshold and i not in taken]
            matched[n] = free[0][1] if free else None
            taken.add(matched[n])
            kinds[n] = "true positive" if free else kind(segment, video, k, instances, threshold)
        npos = sum(label == k for _, label, _ in instances)
        order = list(matched)
        precision = normalised([matched[n] is not None for n in order], npos, norm)
        ap.append(interpolated([matched[n] is not None for n in order], precision, npos))
        missed -= {matched[n] for n, p in zip(order, precision, strict=True) if p > min_precision}
        count = sum(instances[i][1] == k for i in inside)
        kept = [matched[n] in inside for n in order if matched[n] is None or matched[n] in inside]
        part.append(interpolated(kept, normalised(kept, count, norm), count) if count else None)
    return kinds, ap, missed, part


def kind(segment, video, label, instances, threshold):
    best, other = 0.0, None
    for v, its, s in instances:
        if v == video and tiou(segment, s, False) > best:
            best, other = tiou(segment, s, False), its
    if best < 0.1:
        return "background"
    if best >= threshold:
        return "double detection" if other == label else "wrong label"
    return "localisation" if other == label else "confusion"


def normalised(hits, npos, norm):
    precision, tp, fp = [], 0, 0
    for hit in hits:
        tp, fp = tp + hit, fp + (not hit)
        precision.append(tp / npos * norm / (tp / npos * norm + fp))
    return precision


def interpolated(hits, precision, npos):
    return sum(max(precision[n:]) for n, hit in enumerate(hits) if hit) / npos
