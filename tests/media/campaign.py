"""Standardise a matrix of real-world files and verify that second t is second t of the source.

python tests/media/campaign.py --short            minutes
python tests/media/campaign.py [--folder FOLDER]  everything; FOLDER keeps the files

Numbers are drawn in the pictures, clicks are in the sound. What a player presents is known by construction, and read
once from ffmpeg's own output with its time stamps. A file is `right`, `refused` with a reason where it cannot be used,
or `wrong`: another picture or click than presented, a playable file refused, a loss that no column states.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from media.drawing import CLICKS, Truth, at, heard, onsets, read_number, shown  # noqa: E402
from media.files import File, Sources, all_files, buildable  # noqa: E402

from tsp.errors import TspError  # noqa: E402
from tsp.video.config import StandardiseConfig  # noqa: E402
from tsp.video.decode import VideoReader  # noqa: E402
from tsp.video.encode import Facts, UnusableVideo, standardise_video  # noqa: E402
from tsp.video.sound import SoundReader  # noqa: E402
from tsp.video.source import examine  # noqa: E402

CONFIG = StandardiseConfig(crf=12)
CLICK_S = 0.03
SHORT = 6


def judge(job: tuple[int, Path]) -> tuple[str, str, str, str]:
    """Kind, name, result and detail of one file."""
    try:
        return _judged(job)
    except Exception as error:
        file = list(all_files())[job[0]]
        return file.kind, file.name, "wrong", f"bug: {error!r}"


def _judged(job: tuple[int, Path]) -> tuple[str, str, str, str]:
    logging.disable(logging.CRITICAL)
    number, folder = job
    file = list(all_files())[number]
    place = folder / str(number)
    place.mkdir(exist_ok=True)
    path = place / file.name
    problem = buildable(file, Sources(folder), path)
    if problem is not None:
        return file.kind, file.name, "not made", problem
    try:
        facts = standardise_video(path, place / "out.mp4", CONFIG)
    except (UnusableVideo, TspError) as error:
        return file.kind, file.name, "refused" if file.refused or file.damaged else "wrong", str(error)
    faults = list(_faults(file, path, place / "out.mp4", facts))
    if file.damaged and facts.damaged_share:
        faults = []
    if file.refused:
        faults.append("should be refused")
    detail = "; ".join(faults) or (facts.notes if file.damaged else "")
    return file.kind, file.name, "wrong" if faults else "right", detail


def _faults(file: File, path: Path, output: Path, facts: Facts) -> Iterator[str]:
    if file.name == "joined.ts":
        yield from _joined(output)
        return
    found = examine(path, CONFIG.probesize)
    truth = shown(path, found.picture)
    if not truth:
        yield "construction: ffmpeg presents nothing"
        return
    start, clicks = heard(path, found.sound) if found.sound is not None else (truth[0][0], [])
    zero = min(start, truth[0][0])
    yield from _construction(file, truth, zero, start, clicks)
    if file.sound != (facts.audio in ("copied", "lossless")):
        yield f"audio is {facts.audio}"
    if not file.turned:
        yield from _pictures(file, truth, zero, output)
    if file.sound and facts.audio in ("copied", "lossless"):
        times = _clicks(output)
        wanted = [click - zero for click in clicks]
        if len(times) != len(wanted) or any(abs(a - b) > CLICK_S for a, b in zip(times, wanted, strict=True)):
            yield f"clicks at {np.round(times, 3).tolist()}, presented at {np.round(wanted, 3).tolist()}"


def _construction(file: File, truth: Truth, zero: float, start: float, clicks: list[float]) -> Iterator[str]:
    """What was meant against what ffmpeg presents; containers and encoders shift by up to three pictures."""
    if file.starts is None:
        return
    pictures, sound = (value - min(file.starts) for value in file.starts)
    if file.damaged:
        return
    if abs(truth[0][0] - zero - pictures) > 0.1 or abs(start - zero - sound) > 0.1:
        found = f"{truth[0][0] - zero:.3f} and {start - zero:.3f} s"
        yield f"construction: begins at {found}, meant {pictures:g} and {sound:g}"
    if len(clicks) == len(CLICKS) and any(
        abs(click - zero - wanted - sound) > 0.1 for click, wanted in zip(clicks, CLICKS, strict=True)
    ):
        yield "construction: clicks elsewhere than meant"


def _pictures(file: File, truth: Truth, zero: float, output: Path) -> Iterator[str]:
    with VideoReader(output) as reader:
        count = reader.n_frames
        end = truth[-1][0] - zero + 1 / file.fps
        if abs(count / 30 - end) > 0.15 + 1 / file.fps:
            yield f"{count / 30:.2f} s instead of {end:.2f}"
        frames = np.arange(0, count - 1, 7)
        for k, image in zip(frames.tolist(), reader.frames(frames), strict=True):
            number = read_number(image)
            # The nearest picture of the source: half a period of 30 per second, and the clock of the container.
            first, last = at(truth, zero + k / 30 - 0.0205), at(truth, zero + k / 30 + 0.0205)
            if number is None or not min(first, last) <= number <= max(first, last):
                yield f"second {k / 30:.2f} shows {number}, presented {first} to {last}"
                return


def _clicks(output: Path) -> list[float]:
    """Seconds of the clicks in a standardised file; they may be in one channel."""
    with SoundReader(output) as reader:
        level = np.concatenate([np.abs(block.astype(np.int32)).max(axis=0) for block in reader.blocks()])
        return onsets((np.flatnonzero(level > 0.3 * 32768) / reader.rate).tolist())


def _joined(output: Path) -> Iterator[str]:
    """Two recordings of 5 s, one after the other."""
    with VideoReader(output) as reader:
        for second, wanted in ((1.0, 30), (4.0, 120), (6.0, 30), (9.0, 120)):
            number = read_number(reader.frames([round(second * 30)])[0])
            if number is None or abs(number - wanted) > 6:
                yield f"second {second} shows {number} instead of {wanted}"
    times = _clicks(output)
    if len(times) != 4 or any(abs(a - b) > 0.2 for a, b in zip(times, (1.5, 3.0, 6.5, 8.0), strict=True)):
        yield f"clicks at {np.round(times, 2).tolist()}"


def chosen(*, short: bool, only: list[str]) -> list[int]:
    """Numbers of the files: all, those whose kind or name is asked for, or some of each kind."""
    files = list(all_files())
    seen = Counter[str]()
    numbers = []
    for number, file in enumerate(files):
        seen[file.kind] += 1
        if only and file.kind not in only and file.name not in only:
            continue
        # Different ones of each kind, spread over its list.
        every = max(1, sum(other.kind == file.kind for other in files) // SHORT)
        if not short or seen[file.kind] % every == 0:
            numbers.append(number)
    return numbers


def table(rows: list[tuple[str, ...]]) -> str:
    """kind, files, right, refused, wrong, not made."""
    kinds = dict.fromkeys(row[0] for row in rows)
    names = ("right", "refused", "wrong", "not made")
    lines = [f"{'kind':16}{'files':>8}" + "".join(f"{name:>10}" for name in names)]
    for kind in [*kinds, "all"]:
        counts = Counter(row[2] for row in rows if kind in (row[0], "all"))
        lines.append(f"{kind:16}{counts.total():8}" + "".join(f"{counts[name]:10}" for name in names))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="some files of each kind")
    parser.add_argument("--only", nargs="*", default=[], help="only these kinds or names")
    parser.add_argument("--folder", type=Path, help="folder that keeps the files")
    args = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="media-") as name:
        folder = (args.folder or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        Sources(folder).get()
        jobs = [(number, folder) for number in chosen(short=args.short, only=args.only)]
        with ProcessPoolExecutor(2) as pool:
            rows: list[Any] = list(pool.map(judge, jobs))
    for kind, name, result, detail in rows:
        if result != "right":
            print(f"{result.upper():9} {kind}: {name[:60]!r}: {detail}")
    print(table(rows))
    print(f"{time.monotonic() - begun:.0f} s")
    if any(row[2] == "wrong" for row in rows):
        sys.exit("error: files whose seconds are wrong, or that are refused although they can be played")


if __name__ == "__main__":
    main()
