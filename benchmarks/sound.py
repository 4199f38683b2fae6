"""Sound features of long videos: memory against length, and speed against all of the sound at once.

`all at once`: decode everything, resample with one matrix of windows per phase, one array of log-mel patches, as in the
straightforward form; it is run on one minute, because its memory grows by some 150 MB a second. Ours reads blocks.
Peak of resident memory of a process of its own, less that before the file is opened; no network, whose size is fixed.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from math import gcd
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from tsp.caption.audio import RATE, Resampler, log_mel, sound_features, statistics  # noqa: E402
from tsp.video.binaries import ffmpeg_path  # noqa: E402
from tsp.video.sound import SoundReader  # noqa: E402

LIMIT_MB = 300


def make(path: Path, seconds: int) -> None:
    """A video of 48 kHz stereo with a tone."""
    sine = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
    words = ["-f", "lavfi", "-i", sine, "-ac", "2", "-c:a", "flac", "-compression_level", "0", str(path)]
    subprocess.run([ffmpeg_path(), "-y", "-v", "error", *words], check=True)


def at_once(path: Path) -> np.ndarray:
    """The straightforward form."""
    with SoundReader(path) as reader:
        samples, rate = np.concatenate(list(reader.mono())), reader.rate
    filters = Resampler(rate)
    down, up = rate // gcd(RATE, rate), RATE // gcd(RATE, rate)
    windows = sliding_window_view(np.pad(samples, (filters.reach, filters.reach + 1)), 2 * filters.reach + 1)
    out = np.empty(len(samples) * up // down)
    for phase in range(up):
        out[phase::up] = windows[filters._first[phase] :: down][: len(out[phase::up])].dot(filters._filters[phase])
    return statistics(log_mel(out))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def one(path: Path, *, whole: bool) -> None:
    before, begun = peak_mb(), time.process_time()
    found = at_once(path) if whole else sound_features(path, statistics)
    assert found is not None
    print(f"{peak_mb() - before:.0f} {time.process_time() - begun:.2f} {len(found)} {float(found.sum()):.3f}")


def measured(path: Path, *options: str) -> list[str]:
    done = subprocess.run([sys.executable, __file__, str(path), *options], capture_output=True, text=True, check=True)
    return done.stdout.split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--whole", action="store_true")
    args = parser.parse_args()
    if args.path:
        one(args.path, whole=args.whole)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        make(path, 60)
        whole, ours = measured(path, "--whole"), measured(path)
        assert whole[2:] == ours[2:], "the features differ"
        ratio = float(whole[1]) / float(ours[1])
        print(f"1 min: all at once {whole[0]} MB, {whole[1]} s; in blocks {ours[0]} MB, {ours[1]} s: {ratio:.1f}x")
        print("bound by the products of the resampling filter, 301 for each sample at 16 kHz")
        make(path, 3 * 3600)
        mb, seconds, patches, _ = measured(path)
        print(f"3 h of 48 kHz stereo: {mb} MB beyond the process (limit {LIMIT_MB}), {seconds} s, {patches} features")
        if float(mb) > LIMIT_MB:
            sys.exit(f"error: more than {LIMIT_MB} MB")


if __name__ == "__main__":
    main()
