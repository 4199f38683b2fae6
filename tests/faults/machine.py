"""Faults of the machine: killed processes, a full or read-only disk, two submitters, wrong clocks."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from faults.common import FEATURES, SEED_FOLDER, Outcome, Workplace, may_mount, mounted

REPORT = "results/tables"
# What a stage writes, and all that comes after it.
LAST = (SEED_FOLDER, REPORT)
STAGES = {
    "videos": ("results/synthetic/[!o]*", "results/pretrain/*/[!c]*", "results/features", "results/labels", *LAST),
    "pretraining": ("results/pretrain/mini_tsp/[!c]*", "results/features/mini_tsp", "results/labels", *LAST),
    "features": (FEATURES, "results/labels", *LAST),
    "localiser": LAST,
}


def kill(place: Workplace) -> Outcome:
    """kill -9 at two chosen moments, then at random ones; a chain of kills goes on in one folder until the table is
    there."""
    outcome = Outcome(fault="kill -9 of Snakemake and of all its steps")
    # The short form has its videos already.
    folder = place.copy("killed", STAGES["pretraining"]) if place.short else place.empty("killed")
    chosen = [orphaned(place, folder), cut_short(place, folder)]
    done = place.run(folder)
    for hit in chosen:
        outcome.add(hit and done.status == 0 and place.equal(folder), f"{chosen} in {folder}: {done.text[-500:]}")
    kills = 3 if place.short else 20
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
    """Snakemake alone dies: its training step is an orphan that the next run must not meet in the work folder."""
    training = folder / "results/pretrain/mini_tsp"
    seen = place.kill_when(folder, lambda: any((training / "work").glob("*")), whole_group=False)
    return seen and not (training / "encoder.safetensors").exists()


def cut_short(place: Workplace, folder: Path) -> bool:
    """Snakemake and all its steps die while features are written."""
    seen = place.kill_when(folder, lambda: any((folder / FEATURES).rglob("*.h5")))
    return seen and not (folder / f"{FEATURES}/synthetic-valid.h5").exists()


def full_disk(place: Workplace) -> Outcome:
    """The disk fills at a random point of a stage; later there is room."""
    outcome = Outcome(fault="disk full", skipped=may_mount())
    for stage in [] if outcome.skipped else ["localiser"] if place.short else STAGES:
        source = place.copy("source", STAGES[stage])
        folder = place.empty("full")
        with mounted(folder, "-t", "tmpfs", "-o", "size=2g", "none"):
            shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True)
            needed = disk_used(place.undisturbed) - disk_used(source)
            room = int(needed * place.random.uniform(0.05, 0.7))
            resize(folder, disk_used(folder) + room)
            survived, told = place.judge(folder, lambda folder=folder: resize(folder, 2 << 30))
            outcome.add(survived, f"while writing {stage}, {room} bytes free: {told}")
            if not survived:
                shutil.copytree(folder, place.empty(f"lost-full-{stage}"), symlinks=True, dirs_exist_ok=True)
    return outcome


def disk_used(folder: Path) -> int:
    """Bytes in pages of 4 KiB, as a tmpfs counts them."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def resize(folder: Path, size: int) -> None:
    """Another size for a mounted tmpfs."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def read_only(place: Workplace) -> Outcome:
    """The output folder cannot be written; rights do not stop root, a read-only mount does."""
    outcome = Outcome(fault="read-only output folder", skipped=may_mount())
    if outcome.skipped:
        return outcome
    folder = place.copy("read_only", LAST[1:])
    results = str(folder / "results")
    subprocess.run(["mount", "--bind", results, results], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", results], check=True)
    try:
        survived, told = place.judge(folder, lambda: subprocess.run(["umount", results], check=True) and None)
    finally:
        subprocess.run(["umount", "--lazy", results], check=False, capture_output=True)
    outcome.add(survived, told)
    return outcome


def two_submitters(place: Workplace) -> Outcome:
    """The same command twice at once in one folder; whatever became of the two, a third run ends equal."""
    outcome = Outcome(fault="two submitters at once")
    for _ in range(1 if place.short else 3):
        folder = place.copy("two", STAGES["localiser" if place.short else "pretraining"])
        first = place.start(folder)
        time.sleep(place.random.uniform(0, 4))
        second = place.start(folder)
        both = [process.wait(timeout=1800) for process in (first, second)]
        done = place.run(folder)
        outcome.add(done.status == 0 and place.equal(folder), f"first two ended with {both}: {done.text[-500:]}")
    return outcome


def clock_skew(place: Workplace) -> Outcome:
    """Every result carries a time up to two days in the past or future."""
    outcome = Outcome(fault="wrong clocks (times of results)")
    for _ in range(1 if place.short else 3):
        folder = place.copy("skewed", LAST[1:])
        now = time.time()
        for path in sorted((folder / "results").rglob("*")):
            if path.is_file():
                moment = now + place.random.uniform(-2, 2) * 86_400
                os.utime(path, (moment, moment))
        survived, told = place.judge(folder, lambda: None)
        outcome.add(survived, told)
    return outcome


FAULTS = (kill, full_disk, read_only, two_submitters, clock_skew)
