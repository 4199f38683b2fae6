"""Faults on purpose, and whether the promise holds: the table is the undisturbed one, bit for bit, or one line says
what to do and a later run without the fault ends with the equal table.

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

# The longest first.
FAULTS = (*machine.FAULTS, *damage.FAULTS, *sources.FAULTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer tries of each fault, on a smaller workflow")
    parser.add_argument("--seed", type=int, default=0, help="of moments, bits and bytes")
    parser.add_argument("--only", nargs="*", default=[], help=f"of {', '.join(f.__name__ for f in FAULTS)}")
    parser.add_argument("--keep", type=Path, help="folder for what was run, to look at afterwards")
    args = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = (args.keep or Path(name)).resolve()
        place = small_workflow(folder, args.seed, short=args.short)
        print(f"undisturbed run: {place.seconds:.0f} s", flush=True)
        chosen = [fault for fault in FAULTS if not args.only or fault.__name__ in args.only]
        # Most of a run is one job at a time, so two drivers share two cores well.
        with ThreadPoolExecutor(2) as pool:
            rows = [row for found in pool.map(lambda fault: told(fault, place), chosen) for row in found]
    print(table(rows))
    print(f"{time.monotonic() - start:.0f} s, seed {args.seed}")
    if any(row.survived < row.tries for row in rows):
        sys.exit("error: not every fault was survived")


def told(fault, place: Workplace) -> list[Outcome]:
    """The rows of one driver, and how long it took."""
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
