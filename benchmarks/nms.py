"""Gaussian Soft-NMS of the candidates of G-TAD on ActivityNet: the library against the definition, number by number.

Grid of 100 x 100, keep 100; all 4,950 cells, then as many as the boundary filter may leave. Results must agree bit
for bit.
"""

import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from unit.localise.sequential import soft_nms as sequential  # noqa: E402

from tsp.localise.nms import Scored, soft_nms, soft_nms_many  # noqa: E402

LENGTH, KEEP, DIVISOR = 100, 100, 0.8
# Candidates of a video, videos of the library's run, videos of the slow run.
CASES = [(4_950, 32, 2), (600, 256, 16), (60, 1024, 256)]


def made_up(videos: int, candidates: int) -> list[Scored]:
    random = np.random.default_rng(0)
    start, end = np.triu_indices(LENGTH, 1)
    cells = np.stack([start, end], axis=1) / LENGTH
    picks = [random.choice(len(cells), candidates, replace=False) for _ in range(videos)]
    return [(cells[pick], random.random(candidates)) for pick in picks]


def main() -> None:
    print(f"{'candidates':>10} {'definition':>12} {'one by one':>12} {'together':>12} {'ratio':>7}   (ms per video)")
    for candidates, videos, slow in CASES:
        data = made_up(videos, candidates)
        start = time.perf_counter()
        expected = [sequential(s.tolist(), p.tolist(), DIVISOR, KEEP) for s, p in data[:slow]]
        definition = (time.perf_counter() - start) / slow
        start = time.perf_counter()
        single = [soft_nms(s, p, divisor=DIVISOR, keep=KEEP) for s, p in data]
        alone = (time.perf_counter() - start) / videos
        start = time.perf_counter()
        found = soft_nms_many(data, divisor=DIVISOR, keep=KEEP)
        together = (time.perf_counter() - start) / videos
        for rows, many, one in zip(expected, found, single, strict=False):
            for result in (many, one):
                if not np.array_equal(np.array(rows), np.column_stack(result)):
                    sys.exit("error: the results differ")
        times = " ".join(f"{1000 * t:12.2f}" for t in (definition, alone, together))
        print(f"{candidates:10,} {times} {definition / together:7.0f}")


if __name__ == "__main__":
    main()
