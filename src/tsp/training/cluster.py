"""Starts the processes of one training on several machines with the cluster's launcher (srun, mpirun)."""

import logging
import os
import pickle
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tsp.errors import TspError
from tsp.training import cards

log = logging.getLogger(__name__)
SOURCE = Path(__file__).parents[2]
# Key of the store under which a process reports its error.
ERROR = "error"
# Environment variables in which launchers state the rank of a process.
RANKS = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")


def launch_tasks(launcher: str, fn: Callable[..., None], world: int, args: tuple[Any, ...]) -> None:
    """Run `fn(*args)` in `world` processes that `launcher` starts on the machines of this job.

    They connect to a store in this process, which waits for them to end.

    Args:
        launcher: command such as `srun` or `srun --mpi=none`; the number of tasks and the program are added.
        fn: a function of a module.
        world: processes.
        args: arguments of `fn`, picklable.

    Raises:
        TspError: the error of one of the processes; the launcher is missing or fails.
    """
    host = socket.gethostname()
    store = dist.TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=timedelta(minutes=10))
    # In the working directory, which all machines of a job share.
    with tempfile.TemporaryDirectory(prefix=".tasks-", dir=Path.cwd()) as folder:
        call = Path(folder) / "call.pickle"
        call.write_bytes(pickle.dumps((fn, args, logging.getLogger().getEffectiveLevel())))
        place = [str(call), host, str(store.port), str(world)]
        path = os.pathsep.join(filter(None, [str(SOURCE), os.getenv("PYTHONPATH")]))
        command = [*shlex.split(launcher), "-n", str(world), sys.executable, "-m", __name__, *place]
        log.info("%s", shlex.join(command))
        try:
            code = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=False).returncode
        except OSError as error:
            raise TspError(f"launcher {launcher!r}: {error}; is it on the PATH of the job?") from error
    if code:
        message = store.get(ERROR).decode() if store.check([ERROR]) else f"{launcher!r} ended with status {code}"
        raise TspError(message)


def task(call: Path, host: str, port: int, world: int) -> None:
    """Run the function in one of the processes and report its error to the starting process."""
    fn, args, level = pickle.loads(call.read_bytes())  # noqa: S301 - written by the starting process
    number = _number(RANKS)
    logging.basicConfig(level=level if number == 0 else logging.WARNING)
    store = dist.TCPStore(host, port, is_master=False, timeout=timedelta(minutes=10))
    on_gpus = torch.cuda.is_available()
    if cards.count():
        (card,) = cards.claim(1)  # tasks of one machine take different ones, however the launcher numbers them
        if on_gpus:
            torch.cuda.set_device(card)
    dist.init_process_group("nccl" if on_gpus else "gloo", store=store, rank=number, world_size=world)
    try:
        dist.barrier()
        fn(*args)
    except TspError as error:
        store.set(ERROR, str(error))
        raise
    finally:
        dist.destroy_process_group()


def _number(names: tuple[str, ...]) -> int:
    found = next((os.environ[name] for name in names if name in os.environ), None)
    if found is None:
        raise TspError(f"the launcher sets none of {', '.join(names)}; use srun or mpirun")
    return int(found)


if __name__ == "__main__":
    try:
        task(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    except TspError as error:
        sys.exit(f"error: {error}")
