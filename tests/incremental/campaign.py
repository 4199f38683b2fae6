"""Edit and build again: verify that the incremental build equals a clean one, byte for byte.

python tests/incremental/campaign.py --short            minutes
python tests/incremental/campaign.py --folder FOLDER    everything; run again with the same folder, it continues

Three parts. `stub`: single edits over the full miniature with captions, every step replaced by a digest of what it
reads. `real`: random sequences of edits on a small workflow, every step computed. `cheap`: the same with
`track_code: cheap`, where each difference must be named.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from incremental import cheap  # noqa: E402
from incremental.sequences import Sequences  # noqa: E402
from incremental.server import Server  # noqa: E402
from incremental.singles import Single, Singles  # noqa: E402


class Log:
    """Results of finished tries, one JSON line each."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.seed = path, seed
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = [row for line in lines if (row := json.loads(line))["seed"] == seed]

    def add(self, row: dict[str, Any]) -> None:
        """Append a row and print it if something is wrong."""
        row = {**row, "seed": self.seed}
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if row["result"] == "different":
            print(f"DIFFERENT  {json.dumps(row)}", flush=True)

    def has(self, **values: Any) -> bool:
        """Whether such a try is finished."""
        return any(all(row.get(k) == v for k, v in values.items()) for row in self.rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a handful of tries, within five minutes")
    parser.add_argument("--seed", type=int, default=0, help="seed of all choices")
    parser.add_argument("--folder", type=Path, help="folder that keeps runs and results, to continue later")
    parser.add_argument("--tries", type=int, default=90, help="number of real sequences")
    parser.add_argument("--part", choices=["stub", "real", "cheap"], help="only this part")
    parser.add_argument("--kinds", nargs="*", help="only these kinds of real edits")
    parser.add_argument("--number", type=int, help="only the real sequence of this number")
    parser.add_argument("--minutes", type=float, default=170, help="stop after so many minutes; run again to continue")
    args = parser.parse_args()
    end = time.monotonic() + 60 * (4 if args.short else args.minutes)
    with tempfile.TemporaryDirectory(prefix="incremental-") as name:
        folder = (args.folder or Path(name)).resolve()
        server = Server(folder)
        try:
            log = Log(folder / "tries.jsonl", args.seed)
            run(args, folder, server, log, end)
        finally:
            server.close()
    print(table(log.rows))
    if any(row["result"] == "different" for row in log.rows):
        sys.exit("error: an incremental build differs from a clean one")


def run(args: argparse.Namespace, folder: Path, server: Server, log: Log, end: float) -> None:
    """Both parts."""
    place = Sequences(folder / "real", server, ROOT, args.seed)
    place.prepare(short=args.short)
    if args.part in (None, "real"):
        numbers = [args.number] if args.number is not None else range(1 if args.short else args.tries)
        # Half of the time of the short form is for the other part.
        until = end - 90 if args.short else end
        for number in numbers:
            if time.monotonic() < until and (args.number is not None or not log.has(kind="real", number=number)):
                log.add(place.attempt(number, args.kinds))
    for number in range(1 if args.short else args.tries // 6) if args.part in (None, "cheap") else ():
        if time.monotonic() < end and not any(
            r["kind"].startswith("cheap") and r["number"] == number for r in log.rows
        ):
            log.add(cheap.attempt(place, number))
    if args.part in (None, "stub"):
        run_singles(args, Singles(folder / "stub", server, ROOT, place.closures, args.seed), log, end)


def run_singles(args: argparse.Namespace, place: Singles, log: Log, end: float) -> None:
    """Single edits that are not finished yet; a clean build beside the last state."""
    singles = place.edits()
    waiting = [s for s in singles if not log.has(kind=f"stub {s.kind}", name=s.name)]
    if not waiting:
        return
    print(f"stubs of the full miniature: {place.start():.0f} s, {len(waiting)} edits", flush=True)
    for number, batch in enumerate(place.batches(waiting)):
        if time.monotonic() > end:
            break
        for row in place.attempt(batch, number + 1):
            log.add(row)
    print(coverage(log.rows, singles), flush=True)
    if args.short:
        return
    differ = place.compare_clean()
    result = "different" if differ else "equal"
    log.add({"kind": "stub clean build", "name": "", "result": result, "stale": differ[:10], "jobs": 0, "needless": []})


def coverage(rows: list[dict[str, Any]], singles: list[Single]) -> str:
    """How many fields, modules, scripts and resources were edited at least once, and built."""
    done = {
        (row["kind"], row["name"]): row["result"] for row in rows if row["kind"].startswith("stub ") and row["name"]
    }
    lines = []
    for kind in sorted({single.kind for single in singles}):
        results = Counter(
            done.get((f"stub {kind}", single.name), "waiting") for single in singles if single.kind == kind
        )
        built = results["equal"] + results["different"]
        without = ", ".join(f"{results[name]} {name}" for name in ("refused", "nothing", "waiting") if results[name])
        lines.append(f"{kind}: {built} of {results.total()} edited" + (f" ({without})" if without else ""))
    return "coverage: " + "; ".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """kind, tries, equal, different, refused by both, jobs, needless; a sequence counts for each kind of edit in it."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        kinds = (
            {row["kind"]} if row["kind"] != "real" else {f"real {kind}" for kind, _ in row["edits"] if kind != "built"}
        )
        for kind in sorted(kinds) or ["real nothing"]:
            count = counts.setdefault(kind, Counter())
            count.update(["tries", row["result"]])
            count["jobs"] += row.get("jobs", 0)
            count["needless"] += len(row.get("needless", []))
    names = ("tries", "equal", "different", "refused", "jobs", "needless")
    lines = [f"{'kind':34}" + "".join(f"{name:>10}" for name in names)]
    lines += [f"{kind:34}" + "".join(f"{count[name]:10}" for name in names) for kind, count in sorted(counts.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
