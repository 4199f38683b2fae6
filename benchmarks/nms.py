"""The Soft-NMS of G-TAD and of BMN on ActivityNet: the library against a literal implementation of the definition.

Grid of 100 x 100, keep 100; all 4,950 cells, then as many as the boundary filter may leave. Results must agree bit
for bit. CPU seconds, which other jobs on the machine do not lengthen.
"""

import sys
from pathlib import Path
from time import process_time as clock

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from unit.localise.sequential import soft_nms as sequential  # noqa: E402

from tsp.localise.nms import Scored, soft_nms, soft_nms_many  # noqa: E402

LENGTH, KEEP = 100, 100
# Divisor, and from which tIoU on scores decay.
METHODS = {"G-TAD": (0.8, None), "BMN": (0.4, (0.5, 0.9))}
# Ratio to reach with all cells.
TARGET = 100
# Candidates of a video, videos of the library's run, videos of the slow run.
CASES = [(4_950, 512, 2), (600, 1024, 16), (60, 4096, 256)]


def made_up(videos: int, candidates: int) -> list[Scored]:
    random = np.random.default_rng(0)
    start, end = np.triu_indices(LENGTH, 1)
    cells = np.stack([start, end], axis=1) / LENGTH
    # In the order of the map, as the methods give them.
    picks = [np.sort(random.choice(len(cells), candidates, replace=False)) for _ in range(videos)]
    return [(cells[pick], random.random(candidates)) for pick in picks]


def main() -> None:
    print(
        f"{'':6} {'candidates':>10} {'definition':>12} {'one by one':>12} {'together':>12} {'ratio':>7}  (ms a video)"
    )
    for method, (divisor, above) in METHODS.items():
        for candidates, videos, slow in CASES:
            data = made_up(videos, candidates)
            times = measure(data, slow, divisor, above)
            shown = " ".join(f"{1000 * t:12.2f}" for t in times)
            ratio = times[0] / times[-1]
            print(f"{method:6} {candidates:10,} {shown} {ratio:7.0f}")
            if candidates == CASES[0][0]:
                print(f"  target {TARGET}: {'reached' if ratio >= TARGET else 'MISSED'}")


def measure(data: list[Scored], slow: int, divisor: float, above: tuple[float, float] | None) -> list[float]:
    """CPU seconds per video of the definition (on the first `slow` videos), video by video, and all together."""
    start = clock()
    expected = [sequential(s.tolist(), p.tolist(), divisor, KEEP, above) for s, p in data[:slow]]
    times = [(clock() - start) / slow]
    start = clock()
    single = [soft_nms(s, p, divisor=divisor, keep=KEEP, above=above) for s, p in data[:64]]
    times.append((clock() - start) / len(single))
    start = clock()
    found = soft_nms_many(data, divisor=divisor, keep=KEEP, above=above)
    times.append((clock() - start) / len(data))
    for rows, many, one in zip(expected, found, single, strict=False):
        for result in (many, one):
            if not np.array_equal(np.array(rows), np.column_stack(result)):
                sys.exit("error: the results differ")
    return times


if __name__ == "__main__":
    main()
