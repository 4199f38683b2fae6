"""Detection mAP and AR@AN of an ActivityNet-sized file: the library against the protocols written down row by row.

492,600 predictions, 4,926 videos, 7,654 instances, 200 classes, ten thresholds, one process. Two references for
detections, timed on a slice of the videos and extrapolated: tables, a row fetched per prediction, as the official
toolkit works; and the same protocol in plain Python. For proposals: recall counted again for each of the 100 numbers of
proposals. References and library must agree to 1e-12.
"""

import resource
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from unit.evaluation.straightforward import average_precision  # noqa: E402

from tsp.evaluation import proposals  # noqa: E402
from tsp.evaluation.detection import ACTIVITYNET_TIOUS, detection_map, evaluate  # noqa: E402
from tsp.evaluation.io import GroundTruth, ScoredSegments  # noqa: E402
from tsp.io.files import write_json  # noqa: E402
from tsp.segments import tiou  # noqa: E402

VIDEOS, INSTANCES, CLASSES, PER_VIDEO = 4926, 7654, 200, 100
# Videos that the references see; targets: seconds, ratio over the tables, seconds of the proposals.
SLICE = 250
SECONDS, RATIO, PROPOSAL_SECONDS = 5.0, 50.0, 3.0


def made_up() -> tuple[GroundTruth, ScoredSegments]:
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
    found = ScoredSegments(
        video=np.arange(VIDEOS).repeat(PER_VIDEO), label=guess.repeat(PER_VIDEO), segments=near, score=random.random(n)
    )
    return truth, found


def of_slice(truth: GroundTruth, found: ScoredSegments) -> tuple[GroundTruth, ScoredSegments]:
    mine, theirs = truth.video < SLICE, found.video < SLICE
    cut = {name: getattr(found, name)[theirs] for name in ("video", "label", "segments", "score")}
    part = {name: getattr(truth, name)[mine] for name in ("video", "label", "segments")}
    return replace(truth, **part), replace(found, **cut)


def row_by_row(truth: GroundTruth, found: ScoredSegments) -> np.ndarray:
    ap = np.zeros((len(ACTIVITYNET_TIOUS), len(truth.classes)))
    for k in range(len(truth.classes)):
        mine, theirs = np.flatnonzero(truth.label == k), np.flatnonzero(found.label == k)
        instances = [(int(truth.video[i]), tuple(truth.segments[i].tolist())) for i in mine]
        rows = [(int(found.video[i]), tuple(found.segments[i].tolist()), float(found.score[i])) for i in theirs]
        for t, threshold in enumerate(ACTIVITYNET_TIOUS):
            ap[t, k] = average_precision(instances, rows, threshold)
    return ap


def table_rows(truth: GroundTruth, found: ScoredSegments) -> np.ndarray:
    """A data frame of each class; per prediction its row, the group of its video, and each threshold in turn."""
    times = {"t-start": 0, "t-end": 1}
    instances = pd.DataFrame({"video": truth.video, "label": truth.label})
    rows = pd.DataFrame({"video": found.video, "label": found.label, "score": found.score})
    for name, column in times.items():
        instances[name], rows[name] = truth.segments[:, column], found.segments[:, column]
    ap = np.zeros((len(ACTIVITYNET_TIOUS), len(truth.classes)))
    for k in range(len(truth.classes)):
        ap[:, k] = table_class(instances[instances.label == k].reset_index(drop=True), rows[rows.label == k])
    return ap


def table_class(instances: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    rows = rows.iloc[::-1].sort_values("score", ascending=False, kind="stable").reset_index(drop=True)
    taken = np.zeros((len(ACTIVITYNET_TIOUS), len(instances)), bool)
    hits = np.zeros((len(ACTIVITYNET_TIOUS), len(rows)))
    groups = instances.groupby("video")
    for number, row in rows.iterrows():
        try:
            group = groups.get_group(row["video"])
        except KeyError:
            continue
        overlaps = tiou([row[["t-start", "t-end"]]], group[["t-start", "t-end"]].to_numpy())[0]
        for t, threshold in enumerate(ACTIVITYNET_TIOUS):
            for place in overlaps.argsort()[::-1]:
                if overlaps[place] < threshold:
                    break
                if not taken[t, group.index[place]]:
                    taken[t, group.index[place]] = hits[t, number] = True
                    break
    precision = np.cumsum(hits, axis=1) / np.arange(1, len(rows) + 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return (best * hits).sum(axis=1) / max(len(instances), 1)


def recall_anew(truth: GroundTruth, found: ScoredSegments) -> np.ndarray:
    """Average recall for 1 to 100 proposals of each video, everything counted again for every number."""
    overlaps = []
    for video in range(VIDEOS):
        theirs = np.flatnonzero(found.video == video)
        theirs = theirs[::-1][np.argsort(-found.score[theirs][::-1], kind="stable")]
        overlaps.append(tiou(found.segments[theirs], truth.segments[truth.video == video]))
    recall = np.zeros(100)
    for j in range(1, 101):
        first = int(PER_VIDEO * (j / 100.0 * 1.0))
        for threshold in ACTIVITYNET_TIOUS:
            recall[j - 1] += sum(int((o[:first] >= threshold).any(axis=0).sum()) for o in overlaps)
    return recall / len(truth.label) / len(ACTIVITYNET_TIOUS)


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

    ratios = {}
    for name, slow_way in (("table rows", table_rows), ("plain Python", row_by_row)):
        part = of_slice(truth, found)
        start = time.perf_counter()
        expected = slow_way(*part)
        slow = time.perf_counter() - start
        worst = float(np.abs(evaluate(*part).ap - expected).max())
        full = slow * len(found.score) / len(part[1].score)
        ratios[name] = full / ours
        rows = len(part[1].score)
        print(f"row by row, {name:13}{full:8.2f} s, extrapolated from {slow:.2f} s for {rows:,} rows")
        print(f"  ratio {full / ours:.0f}, largest difference of an AP on the slice {worst:.1e}")
        if worst > 1e-12:
            sys.exit("error: the two disagree")
    recalls = of_proposals(truth, found)
    files(truth, found)
    if ours > SECONDS or ratios["table rows"] < RATIO or recalls > PROPOSAL_SECONDS:
        sys.exit(f"error: a target is missed ({SECONDS} s, {RATIO:.0f}x over table rows, {PROPOSAL_SECONDS} s)")


def of_proposals(truth: GroundTruth, found: ScoredSegments) -> float:
    start = time.perf_counter()
    result = proposals.evaluate(truth, found)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    expected = recall_anew(truth, found)
    slow = time.perf_counter() - start
    worst = float(np.abs(result.average_recall - expected).max())
    print(f"proposals, library:      {ours:8.2f} s, AUC {result.auc:.2f}")
    print(f"proposals, counted again: {slow:8.2f} s, ratio {slow / ours:.0f}, largest difference {worst:.1e}")
    if worst > 1e-12:
        sys.exit("error: the two disagree")
    return ours


def files(truth: GroundTruth, found: ScoredSegments) -> None:
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
