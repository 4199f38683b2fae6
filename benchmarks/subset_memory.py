"""Features of ActivityNet's 9,649 training videos in memory to train a localiser: peak as a multiple of the array.

The straightforward way resamples every video, joins the arrays, then makes and joins all targets. Here the array is
made first and filled. Each way runs in a process of its own on the same file, with as many clips per video as
ActivityNet has on average (109); memory is what the process holds above what it holds after its imports. Both must give
the same features and targets (of G-TAD). Target: at most 1.3 times the array, targets included.
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from tsp.features.resample import resample_time  # noqa: E402
from tsp.io.annotations import read_annotations, write_annotations  # noqa: E402
from tsp.io.features import FeatureFile, feature_writer  # noqa: E402
from tsp.localise import gtad  # noqa: E402
from tsp.localise.data import Subset, normalised_segments, read_subset  # noqa: E402
from tsp.types import Segment, Video  # noqa: E402

VIDEOS, CLIPS, CHANNELS, LENGTH = 9_649, 109, 512, 100
TARGET = 1.3
WAYS = ("straightforward", "tsp")


def make(folder: Path, videos: int) -> None:
    """Features that compress well, since only their number counts, and one action per video."""
    rng, listed = np.random.default_rng(0), []
    with feature_writer(folder / "features.h5", {"stride": 16, "fps": 15, "clip_length": 16}) as writer:
        for k in range(videos):
            clips = int(np.clip(rng.gamma(2.0, CLIPS / 2), 1, 707))
            writer.write(f"v_{k}", np.repeat(np.arange(clips, dtype=np.float32)[:, None] + k, CHANNELS, axis=1))
            start, length = rng.uniform(0, 60), rng.uniform(5, 60)
            action = Segment(start_s=float(start), end_s=float(start + length), label="x")
            kind = {"subset": "training", "duration_s": 120.0, "segments": (action,)}
            listed.append(Video(name=str(k), filename=f"v_{k}.mp4", **kind))
    write_annotations(folder / "annotations.json", listed)


def straightforward(folder: Path) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    config, rows, maps = gtad.Config(), [], []
    videos = read_annotations(folder / "annotations.json")
    with FeatureFile(folder / "features.h5") as file:
        for video in videos:
            rows.append(resample_time(file[video.key], LENGTH).T[None])
    features = np.concatenate(rows)
    del rows
    for video in videos:
        maps.append(gtad.targets(normalised_segments(video, "duration"), config))
    return features, {name: torch.stack([one[name] for one in maps]) for name in maps[0]}


def ours(folder: Path) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    config = gtad.Config(time_base="duration")
    options = {"align_corners": False}
    subset: Subset = read_subset(folder / "features.h5", folder / "annotations.json", "training", LENGTH, **options)
    rows = gtad.METHOD.examples(subset, config).rows
    return subset.features, {name: values for name, values in rows.items() if name != "features"}


def resident() -> float:
    """Bytes of the process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(way: str, folder: Path) -> None:
    """Print peak, seconds and a digest of one way, as JSON."""
    before, start = resident(), time.monotonic()
    features, targets = (straightforward if way == "straightforward" else ours)(folder)
    seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    digest = hashlib.sha256()
    for row in (*features, *(value for name in sorted(targets) for value in targets[name].numpy())):
        digest.update(np.ascontiguousarray(row))
    print(json.dumps({"peak": peak, "seconds": seconds, "array": features.nbytes, "digest": digest.hexdigest()}))


def main() -> None:
    if len(sys.argv) > 2:
        measure(sys.argv[1], Path(sys.argv[2]))
        return
    videos = int(sys.argv[1]) if len(sys.argv) > 1 else VIDEOS
    found = {}
    with tempfile.TemporaryDirectory(prefix="subset-") as name:
        make(Path(name), videos)
        for way in WAYS:
            call = [sys.executable, __file__, way, name]
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            found[way] = json.loads(done.stdout)
    array = found["tsp"]["array"]
    print(f"{videos:,} videos x {CHANNELS} channels x {LENGTH} steps: {array / 2**20:,.0f} MiB")
    print(f"{'way':16} {'peak MiB':>9} {'x array':>8} {'s':>6}")
    for way, one in found.items():
        print(f"{way:16} {one['peak'] / 2**20:9,.0f} {one['peak'] / array:8.2f} {one['seconds']:6.1f}")
    if len({one["digest"] for one in found.values()}) > 1:
        sys.exit("error: the two ways differ")
    if found["tsp"]["peak"] > TARGET * array:
        sys.exit(f"error: more than {TARGET} times the array")


if __name__ == "__main__":
    main()
