"""Start Snakemake and its step scripts as forks of a process that has the libraries loaded.

A start of Python with torch takes two seconds, and a campaign starts it tens of thousands of times. `python server.py`
imports third-party libraries only, never `tsp`: each run reads the modules of its own copy of the repository.
"""

import argparse
import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

LIBRARIES = (
    "snakemake.cli", "snakemake.api", "snakemake.workflow", "snakemake.script", "snakemake.benchmark",
    "torch", "numpy", "pandas", "scipy.stats", "scipy.sparse", "av", "h5py", "matplotlib.pyplot", "jinja2", "yaml",
    "pydantic", "safetensors.torch", "ffmpeg", "PIL.Image", "tqdm",
)  # fmt: skip


class Server:
    """A running fork server, and the runs it started.

    Args:
        folder: of the server's socket.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.address = str(folder / "socket")
        Path(self.address).unlink(missing_ok=True)
        self.process = subprocess.Popen([sys.executable, __file__, self.address], start_new_session=True)
        while not Path(self.address).exists():
            if self.process.poll() is not None:
                sys.exit("error: the fork server did not start")
            time.sleep(0.05)

    def start(self, task: dict[str, Any]) -> "Run":
        """Start one task: `{"cwd", "environment", "output", "path", "arguments"}`, see `_snakemake`."""
        return Run(_request(self.address, task))

    def close(self) -> None:
        """End the server; runs that still go on are the caller's."""
        self.process.terminate()
        self.process.wait()


class Run:
    """A started task: leader of a process group."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.file = connection.makefile("r")
        self.pid = int(self.file.readline())

    def wait(self, seconds: float = 1200) -> int:
        """Its exit status; negative: the signal that ended it; after so many seconds it is killed."""
        self.connection.settimeout(seconds)
        try:
            status = int(self.file.readline() or -9)
        except TimeoutError:
            os.killpg(self.pid, signal.SIGKILL)
            status = -9
        self.connection.close()
        return status

    def is_over(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        return bool(select.select([self.connection], [], [], seconds)[0])

    def kill(self) -> int:
        """kill -9 of the whole process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.wait()


def _request(address: str, task: dict[str, Any]) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    connection.sendall(json.dumps(task).encode() + b"\n")
    return connection


def serve(address: str, work: Any) -> None:
    """Fork for each request; the fork calls `work(task)`, and its exit status is the answer.

    The listening process ends with its parent.
    """
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    listening.settimeout(1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getppid()
    while os.getppid() == parent:
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            connection.settimeout(None)
            task = json.loads(connection.makefile("r").readline())
            child = os.fork()
            if child == 0:
                _end(work, task, connection)
            _follow(child, connection)
            _, status = os.waitpid(child, 0)
            with contextlib.suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        connection.close()
    os._exit(0)


def _follow(child: int, connection: socket.socket) -> None:
    """Wait for the end of a process; it is killed, with its group, when the one that asked for it is gone."""
    end = os.pidfd_open(child)
    ready, _, _ = select.select([end, connection], [], [])
    if end not in ready:
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
    os.close(end)


def _end(work: Any, task: dict[str, Any], connection: socket.socket) -> None:
    """Do the work and end; without taking the interpreter apart, which costs a second with all libraries loaded."""
    status = 1
    try:
        work(task, connection)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _snakemake(task: dict[str, Any], connection: socket.socket) -> None:
    """Run Snakemake as leader of a process group, its steps as forks that are made before it starts any thread."""
    os.setsid()
    connection.sendall(f"{os.getpid()}\n".encode())
    output = os.open(task["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(task["environment"])
    os.chdir(task["cwd"])
    sys.path[:0] = task["path"]
    address = f"{task['output']}.socket"
    Path(address).unlink(missing_ok=True)
    if os.fork() == 0:
        serve(address, _step)
    while not Path(address).exists():
        time.sleep(0.01)
    _start_steps_at(address)
    for hook in task.get("hooks", []):
        module, function = hook.split(":")
        getattr(importlib.import_module(module), function)()
    from snakemake.cli import main

    sys.argv = ["snakemake", *task["arguments"]]
    main(task["arguments"])


def _start_steps_at(address: str) -> None:
    from snakemake.script import PythonScript

    def execute_script(self: Any, fname: str, edit: bool = False) -> None:
        start = time.monotonic()
        connection = _request(address, {"script": fname})
        status = int(connection.makefile("r").readline() or -9)
        connection.close()
        if self.bench_record is not None:
            self.bench_record.running_time = time.monotonic() - start
        if status:
            raise subprocess.CalledProcessError(status, ["python", fname])

    PythonScript.execute_script = execute_script


def _step(task: dict[str, Any], connection: socket.socket) -> None:
    connection.close()
    sys.argv = [task["script"]]
    sys.path[0:0] = [str(Path(task["script"]).parent)]
    runner = os.environ.get("CAMPAIGN_STEP")
    if runner:
        module, function = runner.split(":")
        getattr(importlib.import_module(module), function)(task["script"])
    else:
        runpy.run_path(task["script"], run_name="__main__")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    address = parser.parse_args().address
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    # The folder of this file would shadow libraries.
    sys.path.remove(str(Path(__file__).parent))
    for name in LIBRARIES:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    assert not any(name.split(".")[0] == "tsp" for name in sys.modules), "the server must not hold modules under test"
    # Garbage collection of a fork would copy every page.
    gc.collect()
    gc.freeze()
    serve(address, _snakemake)


if __name__ == "__main__":
    main()
