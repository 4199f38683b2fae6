"""From the network's outputs to detections: fusion of streams, scores, suppression, refinement.

n proposals of a video, K classes. Segments are in units of the video's length.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.files import atomic, sha256
from tsp.io.hdf5 import open_hdf5
from tsp.io.predictions import write_predictions
from tsp.localise.labels import VideoScores
from tsp.localise.method import Raw
from tsp.localise.pgcn.config import Config
from tsp.segments import tiou

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SCORES = ("activity", "completeness", "regression")


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Outputs of the network for the proposals of a video.

    Args:
        name: of the video.
        duration_s: seconds of the video.
        segments: `[n, 2]`.
        activity: `[n, K + 1]` logits, background first.
        completeness: `[n, K]`.
        regression: `[n, K, 2]` shift of the centre and logarithmic change of the length.
    """

    name: str
    duration_s: float
    segments: Floats
    activity: Floats
    completeness: Floats
    regression: Floats


@dataclass(frozen=True, kw_only=True)
class Refined:
    """Detections of a video, best first: `[m, 2]` segments, `[m]` scores, `[m]` class indices from 0."""

    segments: Floats
    scores: Floats
    classes: Ints


def write_outputs(path: Path, videos: Iterator[Outputs], classes: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Write raw predictions: per video a group with the arrays of `Outputs`, scores in single precision."""
    with atomic(path) as temporary, open_hdf5(temporary, "w", track_order=True) as file:
        file.attrs.update(classes=json.dumps(list(classes)), **facts)
        for video in videos:
            group = file.create_group(video.name)
            group.attrs["duration_s"] = video.duration_s
            group.create_dataset("segments", data=video.segments)
            for name in SCORES:
                group.create_dataset(name, data=getattr(video, name).astype(np.float32))


def read_outputs(path: Path) -> tuple[list[str], Iterator[Outputs]]:
    """Class names and the videos of raw predictions, in the order written.

    Raises:
        TspError: unreadable, or not written by `write_outputs`.
    """
    try:
        with open_hdf5(path, "r") as file:
            classes = json.loads(file.attrs["classes"])
    except (OSError, KeyError, ValueError) as error:
        raise TspError(f"{path}: not raw predictions of P-GCN ({error}); run the inference again") from error
    return classes, _videos(path)


def _videos(path: Path) -> Iterator[Outputs]:
    try:
        with open_hdf5(path, "r") as file:
            for name, group in file.items():
                arrays = {key: np.asarray(group[key][()], np.float64) for key in ("segments", *SCORES)}
                yield Outputs(name=name, duration_s=float(group.attrs["duration_s"]), **arrays)
    except (OSError, KeyError) as error:
        raise TspError(f"{path}: damaged raw predictions ({error}); run the inference again") from error


def fuse_streams(paths: Sequence[Path], weights: Sequence[float], output: Path) -> None:
    """Average the raw predictions of streams (RGB, flow) that were trained separately on the same proposals.

    Args:
        paths: raw predictions, one file per stream.
        weights: of the streams; only their ratio counts (published: flow 1.2, RGB 1).
        output: raw predictions to write; post-processing reads them like those of one stream.

    Raises:
        TspError: the streams differ in classes, videos or proposals, or a weight is not positive.

    Paper: P-GCN section 4.1 (two-stream fusion): logits, completeness and regression are averaged, not scores.
    """
    if len(paths) != len(weights) or min(weights, default=0.0) <= 0:
        raise TspError(f"{len(paths)} streams and {len(weights)} weights: expected one positive weight per stream")
    read = [read_outputs(path) for path in paths]
    if any(classes != read[0][0] for classes, _ in read):
        raise TspError(f"{', '.join(map(str, paths))}: the streams differ in their classes")
    share = np.asarray(weights, np.float64) / sum(weights)
    facts = {"streams_sha256": json.dumps([sha256(path) for path in paths]), "weights": json.dumps(share.tolist())}
    write_outputs(output, _fused(paths, [videos for _, videos in read], share), read[0][0], facts)


def _fused(paths: Sequence[Path], streams: Sequence[Iterator[Outputs]], share: Floats) -> Iterator[Outputs]:
    while True:
        videos = [next(stream, None) for stream in streams]
        if all(video is None for video in videos):
            return
        found = [video for video in videos if video is not None]
        first = found[0]
        same = len(found) == len(videos) and all(v.name == first.name for v in found)
        if not same or not all(np.array_equal(v.segments, first.segments) for v in found):
            raise TspError(
                f"{', '.join(map(str, paths))}: video {first.name!r} or its proposals differ between streams"
            )
        mixed = {key: sum(w * getattr(v, key) for w, v in zip(share, found, strict=True)) for key in SCORES}
        yield Outputs(name=first.name, duration_s=first.duration_s, segments=first.segments, **mixed)


def class_scores(activity: Floats, completeness: Floats) -> Floats:
    """`[n, K]`: softmax of the activity, background dropped, times exp(completeness).

    Paper: P-GCN section 3.3; scores exceed 1, only their order matters.
    """
    shifted = np.exp(activity - activity.max(axis=1, keepdims=True))
    scores: Floats = (shifted / shifted.sum(axis=1, keepdims=True))[:, 1:] * np.exp(completeness)
    return scores


def hard_nms(segments: Floats, scores: Floats, threshold: float) -> Ints:
    """Greedy suppression: rows that remain, best first; equal scores: the earlier row first.

    Args:
        segments: `[m, 2]`.
        scores: `[m]`.
        threshold: tIoU above which the lower-scored row is removed.
    """
    order = np.argsort(-scores, kind="stable")
    over = tiou(segments[order], segments[order]) > threshold
    left, kept = np.ones(len(order), bool), []
    for row in range(len(order)):
        if left[row]:
            kept.append(row)
            left &= ~over[row]
    return order[kept]


def refine(segments: Floats, regression: Floats) -> Floats:
    """Shift and stretch segments `[m, 2]` by `[m, 2]` (loc, size), cut to the video.

    Paper: P-GCN section 3.3 (boundary regression).
    """
    length = segments[:, 1] - segments[:, 0]
    centre = segments.mean(axis=1) + length * regression[:, 0]
    half = length * np.exp(regression[:, 1]) / 2
    return np.clip(np.stack([centre - half, centre + half], axis=1), 0.0, 1.0)


def refined(config: Config, video: Outputs, shares: Floats | None = None) -> Refined:
    """Detections of a video.

    Args:
        config: `top` and NMS.
        video: its outputs.
        shares: `[K]` factor of each class, 0 for classes absent from the video; None: all 1.
    """
    scores = class_scores(video.activity, video.completeness)
    if shares is not None:
        scores = scores * shares
    proposal, label = np.divmod(np.argsort(-scores, axis=None, kind="stable")[: config.top], max(1, scores.shape[1]))
    score = scores[proposal, label]
    # Drop classes absent from the video.
    proposal, label, score = proposal[score > 0], label[score > 0], score[score > 0]
    return _survivors(config, video, proposal, label, score, groups=label)


def refined_proposals(config: Config, video: Outputs) -> Refined:
    """Each proposal once, refined and scored by its best class; suppressed regardless of class."""
    scores = class_scores(video.activity, video.completeness)
    label, score = scores.argmax(axis=1), scores.max(axis=1)
    proposal = np.argsort(-score, kind="stable")[: config.top]
    label, score = label[proposal], score[proposal]
    return _survivors(config, video, proposal, label, score, groups=np.zeros_like(label))


def _survivors(config: Config, video: Outputs, proposal: Ints, label: Ints, score: Floats, *, groups: Ints) -> Refined:
    """Refine pairs of proposal and class, best first, and suppress them within each of `groups`."""
    own = video.segments[proposal]
    moved = refine(own, video.regression[proposal, label])
    kept = np.arange(len(score))
    if config.nms_threshold is not None:
        kept = _nms_per_class(own if config.nms == "before" else moved, score, groups, config.nms_threshold)
    kept = kept[moved[kept, 1] > moved[kept, 0]]
    return Refined(segments=moved[kept], scores=score[kept], classes=label[kept])


def _nms_per_class(segments: Floats, scores: Floats, label: Ints, threshold: float) -> Ints:
    stays = np.zeros(len(scores), bool)
    for c in np.unique(label):
        rows = np.flatnonzero(label == c)
        stays[rows[hard_nms(segments[rows], scores[rows], threshold)]] = True
    return np.flatnonzero(stays)


def write_refined(
    raw: Raw,
    output: Path,
    facts: dict[str, Any],
    found: Callable[[Outputs, list[str]], Refined],
    *,
    labelled: bool,
) -> None:
    """Write the segments of the videos of the subset, in seconds.

    Args:
        raw: raw predictions.
        output: predictions.json.
        facts: provenance.
        found: outputs of a video and class names -> its segments.
        labelled: write class labels; False: proposals.
    """
    names = {v.name for v in read_annotations(raw.annotations) if v.subset == raw.subset}
    classes, videos = read_outputs(raw.path)
    results, candidates = {}, 0
    for video in videos:
        if video.name not in names:
            continue
        kept = found(video, classes)
        candidates += len(video.segments)
        seconds = (kept.segments * video.duration_s).tolist()
        rows = zip(seconds, kept.scores.tolist(), kept.classes.tolist(), strict=True)
        results[video.name] = [
            {**({"label": classes[c]} if labelled else {}), "score": score, "segment": s} for s, score, c in rows
        ]
    count, kind = sum(map(len, results.values())), "detections" if labelled else "proposals"
    log.info("%d %s from %d proposals in %d videos", count, kind, candidates, len(results))
    used = "labels_sha256" in facts
    write_predictions(output, results, version="P-GCN", external_data={"used": used, "details": facts})


def class_shares(config: Config, name: str, classes: Sequence[str], labels: VideoScores) -> Floats:
    """`[K]` video-level scores of the video's `video_classes` best classes; 0 for the others.

    Raises:
        TspError: a class that is not annotated.
    """
    best = dict(labels.best(name, config.video_classes or len(classes)))
    unknown = sorted(set(best) - set(classes))
    if unknown:
        raise TspError(f"{labels.source}: class {unknown[0]!r} of video {name!r} is not a class of the annotations")
    return np.array([best.get(label, 0.0) for label in classes])
