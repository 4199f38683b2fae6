"""The GPUs of this machine: each is claimed by one process, with a lock that ends with it."""

import contextlib
import fcntl
import functools
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch

from tsp.errors import TspError

log = logging.getLogger(__name__)
LOCKS = Path(tempfile.gettempdir()) / "tsp-gpu-locks"
# Environment variable: a number of cards to claim where there are none; the work itself is done on the CPU.
PRETENDED = "TSP_PRETENDED_GPUS"
POLL_S = 0.2
# Numbers of the cards of this process, and the files whose locks hold them.
_mine: list[int] = []
_held: list[IO[bytes]] = []


def count() -> int:
    """Cards that this process may use: all, or those of CUDA_VISIBLE_DEVICES, which SLURM sets for a job."""
    if pretended := os.environ.get(PRETENDED):
        return len(_visible(int(pretended)))
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def claim(wanted: int) -> list[int]:
    """Claim free cards for the life of this process; wait while other processes hold them.

    Args:
        wanted: how many. A second call returns the same cards.

    Returns:
        Their numbers, as in `cuda:<number>`.

    Raises:
        TspError: the machine has fewer.
    """
    there = count()
    if wanted > there:
        raise TspError(
            f"{wanted} GPUs are asked for, this job sees {there}; lower the resource gpu, or check CUDA_VISIBLE_DEVICES"
        )
    names, waited = _names(there), False
    while len(_mine) < wanted:
        # One process chooses at a time: two that want two cards each could otherwise hold one each forever.
        with _choosing():
            free = [taken for number in range(there) if (taken := _take(number, names)) is not None]
            missing = wanted - len(_mine)
            used = free[:missing] if len(free) >= missing else []
            for _, file in free[len(used) :]:
                file.close()
            _mine.extend(number for number, _ in used)
            _held.extend(file for _, file in used)
        if len(_mine) < wanted:
            if not waited:
                log.info("other processes hold the GPUs; waiting for %d (locks in %s)", wanted, LOCKS)
            waited = True
            time.sleep(POLL_S)
    return _mine[:wanted]


def assign(number: int) -> None:
    """Use a card that the process which started this one has claimed."""
    _mine[:] = [number]


@contextlib.contextmanager
def _choosing() -> Iterator[None]:
    with _open("choosing") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _take(number: int, names: list[str]) -> tuple[int, IO[bytes]] | None:
    """The locked file of a card; None: it is this process's already, or another's."""
    if number in _mine:
        return None
    file = _open(names[number])
    try:
        # A record lock: loader processes do not inherit it, and it ends with this process, however that ends.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return number, file


def _open(name: str) -> IO[bytes]:
    """A lock file that every user of the machine may lock."""
    mask = os.umask(0)
    try:
        LOCKS.mkdir(mode=0o1777, exist_ok=True)
        return os.fdopen(os.open(LOCKS / name, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    except OSError as error:
        raise TspError(f"{LOCKS / name}: GPUs cannot be claimed ({error.strerror}); state --device cuda:0") from error
    finally:
        os.umask(mask)


def _visible(there: int) -> list[str]:
    """Numbers or unique names of the visible cards, as CUDA counts them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = map(str, range(there)) if given is None else filter(None, map(str.strip, given.split(",")))
    return list(names)[:there]


def _names(there: int) -> list[str]:
    """A name of each card that is the same for all jobs: inside a job of SLURM every card may be number 0."""
    unique = {} if os.environ.get(PRETENDED) else _unique()
    return [unique.get(name, name).replace("/", "_") for name in _visible(there)]


@functools.cache
def _unique() -> dict[str, str]:
    """Unique names of cards by number, from the driver's own tool; empty: unknown."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    call = [program, "--query-gpu=index,uuid", "--format=csv,noheader"]
    lines = subprocess.run(call, capture_output=True, text=True, check=False).stdout.splitlines()
    return {number.strip(): name.strip() for number, _, name in (line.partition(",") for line in lines) if name}
