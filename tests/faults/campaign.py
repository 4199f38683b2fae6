"""Inject faults and verify the promise: the table equals the undisturbed one bit for bit, or a one-line error states
what to do and a later run without the fault produces the equal table.

python tests/faults/campaign.py --short     minutes
python tests/faults/campaign.py             everything
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from faults import damage, machine, sources  # noqa: E402
from faults.common import Outcome, Workplace, small_workflow  # noqa: E402

# Longest first.
FAULTS = (*machine.FAULTS, *damage.FAULTS, *sources.FAULTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer tries of each fault on a smaller workflow")
    parser.add_argument("--seed", type=int, default=0, help="seed of moments, bits and bytes")
    parser.add_argument("--only", nargs="*", default=[], help=f"subset of {', '.join(f.__name__ for f in FAULTS)}")
    parser.add_argument("--keep", type=Path, help="folder that keeps the runs for inspection")
    args = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = (args.keep or Path(name)).resolve()
        place = small_workflow(folder, args.seed, short=args.short)
        print(f"undisturbed run: {place.seconds:.0f} s", flush=True)
        chosen = [fault for fault in FAULTS if not args.only or fault.__name__ in args.only]
        # A run mostly executes one job at a time, so two drivers fit two cores.
        with ThreadPoolExecutor(2) as pool:
            rows = [row for found in pool.map(lambda fault: rows_of(fault, place), chosen) for row in found]
    print(table(rows))
    print(f"{time.monotonic() - start:.0f} s, seed {args.seed}")
    if lost := [f"LOST  {row.fault}: {message}" for row in rows for message in row.lost]:
        sys.exit("\n".join([*lost, "error: not every fault was survived"]))


def rows_of(fault, place: Workplace) -> list[Outcome]:
    """Run one driver and print its counts and duration."""
    start = time.monotonic()
    found = fault(place.drawing(fault.__name__))
    rows = found if isinstance(found, list) else [found]
    counts = f"{sum(row.survived for row in rows)} of {sum(row.tries for row in rows)} survived"
    print(f"{fault.__name__}: {counts}, {time.monotonic() - start:.0f} s", flush=True)
    return rows


def table(rows: list[Outcome]) -> str:
    """fault, tries, survived, lost."""
    lines = [f"{'fault':44} {'tries':>5} {'survived':>8} {'lost':>5}"]
    for row in rows:
        counts = f"{row.tries:5} {row.survived:8} {row.tries - row.survived:5}"
        lines.append(f"{row.fault:44} {f'skipped: {row.skipped}' if row.skipped else counts}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
