"""Detection mAP of an ActivityNet-sized file: the library against the protocol written down row by row.

492,600 predictions, 4,926 videos, 7,654 instances, 200 classes, ten thresholds, one process. The row-by-row
code is timed on a slice of the videos and extrapolated; on that slice both must agree to 1e-12.
"""

import resource
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from unit.evaluation.straightforward import average_precision  # noqa: E402

from tsp.evaluation.detection import ACTIVITYNET_TIOUS, detection_map, evaluate  # noqa: E402
from tsp.evaluation.io import GroundTruth, Predictions  # noqa: E402
from tsp.io.files import write_json  # noqa: E402

VIDEOS, INSTANCES, CLASSES, PER_VIDEO, SLICE = 4926, 7654, 200, 100, 250


def made_up() -> tuple[GroundTruth, Predictions]:
    """One class per video, as nearly always in ActivityNet; 100 predictions of a video share its likely class."""
    random = np.random.default_rng(0)
    classes = np.arange(VIDEOS) % CLASSES
    video = np.sort(np.concatenate([np.arange(VIDEOS), random.integers(0, VIDEOS, INSTANCES - VIDEOS)]))
    start = random.uniform(0, 100, INSTANCES)
    truth = GroundTruth(
        videos=[f"video{n:04d}" for n in range(VIDEOS)],
        classes=[f"class {n}" for n in range(CLASSES)],
        video=video,
        label=classes[video],
        segments=np.stack([start, start + random.uniform(2, 80, INSTANCES)], axis=1),
    )
    first = np.searchsorted(video, np.arange(VIDEOS)).repeat(PER_VIDEO)
    n = VIDEOS * PER_VIDEO
    guess = np.where(random.random(VIDEOS) < 0.85, classes, random.integers(0, CLASSES, VIDEOS))
    near = np.sort(truth.segments[first] + random.normal(0, 15, (n, 2)), axis=1)
    found = Predictions(
        video=np.arange(VIDEOS).repeat(PER_VIDEO), label=guess.repeat(PER_VIDEO), segments=near, score=random.random(n)
    )
    return truth, found


def of_slice(truth: GroundTruth, found: Predictions) -> tuple[GroundTruth, Predictions]:
    mine, theirs = truth.video < SLICE, found.video < SLICE
    cut = {name: getattr(found, name)[theirs] for name in ("video", "label", "segments", "score")}
    part = {name: getattr(truth, name)[mine] for name in ("video", "label", "segments")}
    return replace(truth, **part), replace(found, **cut)


def row_by_row(truth: GroundTruth, found: Predictions) -> np.ndarray:
    ap = np.zeros((len(ACTIVITYNET_TIOUS), len(truth.classes)))
    for k in range(len(truth.classes)):
        mine, theirs = np.flatnonzero(truth.label == k), np.flatnonzero(found.label == k)
        instances = [(int(truth.video[i]), tuple(truth.segments[i].tolist())) for i in mine]
        rows = [(int(found.video[i]), tuple(found.segments[i].tolist()), float(found.score[i])) for i in theirs]
        for t, threshold in enumerate(ACTIVITYNET_TIOUS):
            ap[t, k] = average_precision(instances, rows, threshold)
    return ap


def main() -> None:
    truth, found = made_up()
    start = time.perf_counter()
    evaluate(truth, found)
    ours = time.perf_counter() - start
    tracemalloc.start()
    result = evaluate(truth, found)
    memory = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(f"{len(found.score):,} predictions, {len(truth.label):,} instances, average mAP {result.average_map:.4f}")
    print(f"library, arrays:         {ours:8.2f} s, {memory:.0f} MB beyond its input")

    part = of_slice(truth, found)
    start = time.perf_counter()
    expected = row_by_row(*part)
    slow = time.perf_counter() - start
    worst = float(np.abs(evaluate(*part).ap - expected).max())
    full = slow * len(found.score) / len(part[1].score)
    print(f"row by row, plain Python:{full:8.2f} s, extrapolated from {slow:.2f} s for {len(part[1].score):,} rows")
    print(f"ratio {full / ours:.0f}, largest difference of an AP on the slice {worst:.1e}")
    if worst > 1e-12:
        sys.exit("error: the two disagree")
    files(truth, found)


def files(truth: GroundTruth, found: Predictions) -> None:
    database = {name: {"subset": "validation", "annotations": []} for name in truth.videos}
    for video, label, segment in zip(truth.video, truth.label, truth.segments.tolist(), strict=True):
        database[truth.videos[video]]["annotations"].append({"segment": segment, "label": truth.classes[label]})
    results: dict[str, list[dict[str, object]]] = {name: [] for name in truth.videos}
    columns = (found.video.tolist(), found.label.tolist(), found.segments.tolist(), found.score.tolist())
    for video, label, segment, score in zip(*columns, strict=True):
        results[truth.videos[video]].append({"segment": segment, "score": score, "label": truth.classes[label]})
    with TemporaryDirectory() as folder:
        paths = Path(folder, "g.json"), Path(folder, "p.json")
        write_json(paths[0], {"database": database}, indent=None)
        write_json(paths[1], {"results": results}, indent=None)
        start = time.perf_counter()
        detection_map(*paths)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"library, from JSON files:{time.perf_counter() - start:8.2f} s, process peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
