"""Files damaged between stages without a change of their times, so that the workflow cannot notice."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults.common import FEATURES, SEED_FOLDER, Outcome, Workplace, remove
from faults.machine import since

PRETRAIN = "results/pretrain/mini_tsp"
LAST = since("localiser")


@dataclass(frozen=True, kw_only=True)
class Victim:
    """A file to damage, the outputs missing after it, and what the error advises to delete (the file, or these)."""

    path: str
    missing: tuple[str, ...]
    delete: tuple[str, ...] = ()


VICTIMS = {
    "features, HDF5": Victim(path=f"{FEATURES}/synthetic-train.h5", missing=LAST),
    "metadata, CSV": Victim(path="results/synthetic/metadata/train.csv", missing=("results/synthetic/segments", *LAST)),
    "manifest, CSV": Victim(
        path="results/synthetic/standardise/train.0.csv", missing=("results/synthetic/probe/*", *since("features"))
    ),
    "shard of features, HDF5": Victim(
        path=f"{FEATURES}/synthetic-valid.0.h5", missing=(f"{FEATURES}/synthetic-valid.h5", *LAST)
    ),
    "encoder weights": Victim(path=f"{PRETRAIN}/encoder.safetensors", missing=since("features")),
    "localiser weights": Victim(
        path=f"{SEED_FOLDER}/weights.safetensors",
        missing=since("candidates"),
    ),
    "predictions, JSON": Victim(path=f"{SEED_FOLDER}/predictions.json", missing=since("scores")),
    "annotations, JSON": Victim(
        path="results/synthetic/annotations.json", missing=("results/synthetic/segments", *LAST)
    ),
    "raw video": Victim(
        path="results/synthetic/raw/train/*.mp4",
        missing=since("standardise"),
        delete=("results/synthetic/download/train.0.csv",),
    ),
    "standardised video": Victim(
        path="results/synthetic/videos/train/*.mp4",
        missing=since("features"),
        delete=("results/synthetic/standardise/train.0.csv", "results/synthetic/probe/train.0.csv"),
    ),
}


def truncate(place: Workplace, content: bytes) -> bytes:
    """Half of it."""
    return content[: len(content) // 2]


def flip(place: Workplace, content: bytes) -> bytes:
    """One bit, anywhere."""
    where = place.random.randrange(len(content))
    return content[:where] + bytes([content[where] ^ (1 << place.random.randrange(8))]) + content[where + 1 :]


def clear(place: Workplace, content: bytes) -> bytes:
    """Empty the file."""
    return b""


KINDS: tuple[Callable[[Workplace, bytes], bytes], ...] = (flip, truncate, clear)


def hurt(place: Workplace, path: Path, kind: Callable[[Workplace, bytes], bytes]) -> None:
    """Damage a file and keep its times."""
    times = path.stat()
    content = kind(place, path.read_bytes())
    path.unlink()  # a raw video is a hard link to its source
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def files(place: Workplace) -> Outcome:
    """Each kind of file; the repair deletes what the message names."""
    outcome = Outcome(fault="damaged file between stages")
    names = ["features, HDF5", "predictions, JSON"] if place.short else list(VICTIMS)
    for name in names:
        for kind in place.random.sample(KINDS, 1 if place.short else 2):
            victim = VICTIMS[name]
            folder = place.copy("damaged", victim.missing)
            path = sorted(folder.glob(victim.path))[0]
            hurt(place, path, kind)

            def repair(path: Path = path, folder: Path = folder, victim: Victim = victim) -> None:
                path.unlink()
                remove(folder, victim.delete)

            survived, message = place.judge(folder, repair)
            outcome.add(survived, f"{name}, {kind.__name__}: {message}")
    return outcome


def checkpoint(place: Workplace) -> Outcome:
    """The state of a killed training."""
    outcome = Outcome(fault="damaged checkpoint of a killed training")
    for kind in KINDS[:1] if place.short else KINDS:
        folder = place.copy("checkpoint", LAST if place.short else since("pretraining"))
        work = folder / (SEED_FOLDER if place.short else PRETRAIN) / "work"
        if not place.kill_when(folder, lambda work=work: any(work.rglob("state.pt"))):
            outcome.add(False, "the training ended before it could be killed")
            continue
        hurt(place, next(work.rglob("state.pt")), kind)
        survived, message = place.judge(folder, lambda work=work, folder=folder: remove(work.parent, ("work",)))
        outcome.add(survived, f"{kind.__name__}: {message}")
    return outcome


FAULTS = (files, checkpoint)
