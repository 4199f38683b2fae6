"""Faults of the machine: killed processes, a full or read-only disk, two submitters, wrong clocks."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from faults.common import FEATURES, SEED_FOLDER, Outcome, Workplace, may_mount, mounted, remove

# The stages of the small workflow in order, and what each writes.
WRITES = {
    "rendering": ("results/*/origin",),
    "download": ("results/*/annotations.json", "results/*/list", "results/*/download", "results/*/raw"),
    "standardise": ("results/*/standardise", "results/*/videos"),
    "metadata": ("results/*/probe", "results/*/metadata", "results/*/manifest", "results/*/segments"),
    "start weights": ("results/pretrain/mini_start/[!c]*",),
    "GVF": ("results/features/mini_start", "results/gvf"),
    "pretraining": ("results/pretrain/mini_tsp/[!c]*",),
    "features": (FEATURES, "results/labels"),
    "localiser": tuple(f"{SEED_FOLDER}/{name}" for name in ("work", "log.jsonl", "weights.*")),
    "candidates": (f"{SEED_FOLDER}/raw.h5",),
    "predictions": tuple(f"{SEED_FOLDER}/{name}.json" for name in ("predictions", "proposals")),
    "scores": (f"{SEED_FOLDER}/scores.json",),
    "table": ("results/tables",),
}


def since(stage: str) -> tuple[str, ...]:
    """What a stage and all later ones write."""
    stages = list(WRITES)
    return tuple(pattern for name in stages[stages.index(stage) :] for pattern in WRITES[name])


def kill_miniature(place: Workplace) -> Outcome:
    """kill -9 at 20 random moments from the first job of `make demo` to its last ones, in one folder."""
    outcome = Outcome(fault="kill -9, the whole miniature")
    if place.short:
        outcome.skipped = "only in the complete form"
        return outcome
    demo = Workplace(place.folder / "miniature", place.seed, short=False, configs=[], target="all")
    folder, jobs = demo.empty("killed"), finished(demo.undisturbed)
    moments = sorted(place.random.uniform(0, 0.95 * jobs) for _ in range(20))
    hits = [demo.kill_when(folder, after(folder, moment, place.random.uniform(0, 5))) for moment in moments]
    done = demo.run(folder)
    for hit in hits:
        outcome.add(hit and done.status == 0 and demo.equal(folder), f"{hits} in {folder}: {done.text[-500:]}")
    print(f"miniature: {demo.seconds:.0f} s undisturbed, killed after {[round(m) for m in moments]} of {jobs} jobs")
    return outcome


def finished(folder: Path) -> int:
    """Number of finished jobs."""
    return len(list(folder.glob("logs/*/*.tsv")))


def after(folder: Path, jobs: float, seconds: float) -> Callable[[], bool]:
    """Whether so many jobs have finished and so many seconds have passed since."""
    reached: list[float] = []

    def due() -> bool:
        if not reached and finished(folder) >= jobs:
            reached.append(time.monotonic())
        return bool(reached) and time.monotonic() - reached[0] >= seconds

    return due


def kill(place: Workplace) -> Outcome:
    """kill -9 at two chosen moments, then at random ones; a chain of kills continues in one folder until the table
    exists."""
    outcome = Outcome(fault="kill -9 of Snakemake and of all its steps")
    # The short form starts with its videos.
    folder = place.copy("killed", since("pretraining")) if place.short else place.empty("killed")
    chosen = [moment(place, folder) for moment in (orphaned, cut_short)]
    done = place.run(folder)
    for hit in chosen:
        outcome.add(hit and done.status == 0 and place.equal(folder), f"{chosen} in {folder}: {done.text[-500:]}")
    kills = 3 if place.short else 10
    while outcome.tries < kills:
        folder = place.empty("killed")
        chain = 0
        while outcome.tries + chain < kills:
            end = time.monotonic() + place.random.uniform(0.5, place.seconds * 0.6)
            if not place.kill_when(folder, lambda end=end: time.monotonic() > end):
                break
            chain += 1
        done = place.run(folder)
        for _ in range(chain):
            outcome.add(
                done.status == 0 and place.equal(folder), f"after {chain} kills in {folder}: {done.text[-500:]}"
            )
    return outcome


def orphaned(place: Workplace, folder: Path) -> bool:
    """Only Snakemake dies; the next run must not share the work folder with the orphaned training step."""
    training = folder / "results/pretrain/mini_tsp"

    def hit() -> bool:
        seen = place.kill_when(folder, lambda: any((training / "work").glob("log.jsonl")), whole_group=False)
        return seen and not (training / "encoder.safetensors").exists()

    return repeated(hit, folder, "pretraining")


def cut_short(place: Workplace, folder: Path) -> bool:
    """Snakemake and all its steps die while features are written."""

    def hit() -> bool:
        seen = place.kill_when(folder, lambda: any((folder / FEATURES).rglob("*.h5")))
        return seen and not (folder / f"{FEATURES}/synthetic-valid.h5").exists()

    return repeated(hit, folder, "features")


def repeated(hit: Callable[[], bool], folder: Path, stage: str) -> bool:
    """Whether the kill hit its moment, which a busy machine can miss; the stage is then run again, up to five times."""
    for _ in range(5):
        if hit():
            return True
        remove(folder, (*since(stage), "results/.made/kept"))
    return False


def full_disk(place: Workplace) -> Outcome:
    """The disk fills at a random point of each stage; later there is space."""
    outcome = Outcome(fault="disk full", skipped=may_mount())
    for stage in [] if outcome.skipped else ["localiser"] if place.short else WRITES:
        source = place.copy("source", since(stage))
        folder = place.empty("full")
        with mounted(folder, "-t", "tmpfs", "-o", "size=2g", "none"):
            shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True)
            room = int(written(place.undisturbed, stage) * place.random.uniform(0, 0.7))
            resize(folder, sum(pages(folder, "*").values()) + room)
            survived, message = place.judge(folder, lambda folder=folder: resize(folder, 2 << 30), must_fail=True)
            outcome.add(survived, f"while writing {stage}, {room} bytes free: {message}")
            if not survived:
                shutil.copytree(folder, place.empty(f"lost-full-{stage}"), symlinks=True, dirs_exist_ok=True)
    return outcome


def written(folder: Path, stage: str) -> int:
    """Bytes that a stage adds to the disk; links to files of earlier stages add none."""
    stages = list(WRITES)
    own, earlier = (
        {inode: size for name in names for pattern in WRITES[name] for inode, size in pages(folder, pattern).items()}
        for names in ([stage], stages[: stages.index(stage)])
    )
    return sum(size for inode, size in own.items() if inode not in earlier)


def pages(folder: Path, pattern: str) -> dict[int, int]:
    """Bytes of each matching file (by inode), recursively, in pages of 4 KiB as a tmpfs counts them."""
    found = [path for top in folder.glob(pattern) for path in (top, *top.rglob("*")) if path.is_file()]
    return {(stat := path.stat()).st_ino: -(-stat.st_size // 4096) * 4096 for path in found}


def resize(folder: Path, size: int) -> None:
    """Resize a mounted tmpfs."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def read_only(place: Workplace) -> Outcome:
    """The output folder cannot be written; a read-only mount, because permissions do not stop root."""
    outcome = Outcome(fault="read-only output folder", skipped=may_mount())
    if outcome.skipped:
        return outcome
    folder = place.copy("read_only", since("table"))
    results = str(folder / "results")
    subprocess.run(["mount", "--bind", results, results], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", results], check=True)
    try:
        survived, message = place.judge(folder, lambda: subprocess.run(["umount", results], check=True) and None)
    finally:
        subprocess.run(["umount", "--lazy", results], check=False, capture_output=True)
    outcome.add(survived, message)
    return outcome


def two_submitters(place: Workplace) -> Outcome:
    """The same command twice at once in one folder; regardless of how the two end, a third run ends equal."""
    outcome = Outcome(fault="two submitters at once")
    for _ in range(1 if place.short else 3):
        folder = place.copy("two", since("localiser" if place.short else "pretraining"))
        first = place.start(folder)
        time.sleep(place.random.uniform(0, 4))
        second = place.start(folder)
        both = [process.wait(timeout=1800) for process in (first, second)]
        done = place.run(folder)
        outcome.add(done.status == 0 and place.equal(folder), f"first two ended with {both}: {done.text[-500:]}")
    return outcome


def clock_skew(place: Workplace) -> Outcome:
    """Every result has a time up to two days in the past or future."""
    outcome = Outcome(fault="wrong clocks (times of results)")
    for _ in range(1 if place.short else 3):
        folder = place.copy("skewed", since("table"))
        now = time.time()
        for path in sorted((folder / "results").rglob("*")):
            if path.is_file():
                moment = now + place.random.uniform(-2, 2) * 86_400
                os.utime(path, (moment, moment))
        survived, message = place.judge(folder, lambda: None)
        outcome.add(survived, message)
    return outcome


FAULTS = (kill_miniature, kill, full_disk, read_only, two_submitters, clock_skew)
