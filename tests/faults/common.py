"""Run the small workflow in separate folders and judge the result of each fault."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

from tsp.io.files import sha256

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
TABLE = "results/tables/faults.csv"
FEATURES = "results/features/mini_tsp/stride8"
SEED_FOLDER = "results/experiments/gtad_synthetic/mini_tsp/seed0"
# The promise covers weights, features, predictions and tables.
PROMISED = (
    "results/pretrain/*/encoder.safetensors",
    "results/features/*/*/*-valid.h5",
    "results/experiments/*/*/seed*/predictions.json",
    "results/tables/*.csv",
)
# A user error: one line that states what to do.
ADVICE = re.compile(r"error: .*\b(delete|free|fix|restore|fetch|download|raise|run again|put the old)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a run of the workflow ended."""

    status: int
    text: str


@dataclass(kw_only=True)
class Outcome:
    """One row of the table."""

    fault: str
    tries: int = 0
    survived: int = 0
    skipped: str = ""
    lost: list[str] = field(default_factory=list)

    def add(self, survived: bool, message: str) -> None:
        """Count a try; a lost one is printed immediately and kept for the end."""
        self.tries += 1
        self.survived += survived
        if not survived:
            self.lost.append(message)
            print(f"LOST  {self.fault}: {message}", flush=True)


class Workplace:
    """Folders of a campaign and the undisturbed run of its workflow as reference."""

    def __init__(self, folder: Path, seed: int, *, short: bool, configs: list[Path], target: str = TABLE) -> None:
        self.folder, self.short, self.seed = folder, short, seed
        self.random = random.Random(seed)
        self.configs, self.target = configs, target
        self.undisturbed = folder / "undisturbed"
        start = time.monotonic()
        done = self.run(self.empty("undisturbed"))
        if done.status:
            sys.exit(f"error: the undisturbed run failed\n{done.text[-3000:]}")
        self.seconds = time.monotonic() - start
        if "Nothing to be done" not in self.run(self.undisturbed).text:
            sys.exit(f"error: a repeated run executed jobs again\n{self.output(self.undisturbed)}")
        self.expected = self.digests(self.undisturbed)

    def drawing(self, name: str) -> "Workplace":
        """The same workplace with its own random numbers, so that drivers can run in parallel."""
        place = copy(self)
        place.random = random.Random(f"{self.seed} {name}")
        return place

    def start(self, folder: Path) -> subprocess.Popen[str]:
        """Start the workflow as leader of a process group, its output in `folder/output.txt`."""
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", REPOSITORY / "Snakefile"]
        command += ["--directory", folder, "--workflow-profile", REPOSITORY / "profiles/default"]
        command += ["--configfile", *self.configs] if self.configs else []
        command += ["--", self.target]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
        with self.output(folder).open("w") as file:
            return subprocess.Popen(
                list(map(str, command)), cwd=REPOSITORY, env=environment, stdout=file, stderr=file, text=True,
                start_new_session=True,
            )  # fmt: skip

    def output(self, folder: Path) -> Path:
        """Outside the folder, so that no message is lost if it is full or read-only."""
        return self.folder / f"{folder.name}.txt"

    def run(self, folder: Path) -> Done:
        """Run the workflow to its end."""
        process = self.start(folder)
        return Done(status=process.wait(timeout=1800), text=self.output(folder).read_text(errors="replace"))

    def kill_when(self, folder: Path, seen: Callable[[], bool], *, whole_group: bool = True) -> bool:
        """Start the workflow and kill -9 it, or all its processes, as soon as `seen()`; False if it ended before."""
        process = self.start(folder)
        while process.poll() is None:
            if seen():
                os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
                process.wait()
                return True
            time.sleep(0.02)
        return False

    def empty(self, name: str) -> Path:
        """A new folder."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def copy(self, name: str, without: tuple[str, ...] = ()) -> Path:
        """A copy of the undisturbed folder with its times, without files that match the patterns."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.undisturbed, path, symlinks=True)
        # Without the links, missing outputs are computed, so the fault meets a step at work.
        remove(path, (*without, "results/.made/kept"))
        return path

    def digests(self, folder: Path) -> dict[str, str]:
        """Checksums of the promised files that exist."""
        found = [path for pattern in PROMISED for path in folder.glob(pattern)]
        return {str(path.relative_to(folder)): sha256(path) for path in found}

    def equal(self, folder: Path) -> bool:
        """Whether all promised files exist and are equal bit for bit."""
        return self.digests(folder) == self.expected

    def judge(self, folder: Path, repair: Callable[[], None], *, must_fail: bool = False) -> tuple[bool, str]:
        """Run with the fault, then without it. Survived: equal, or a one-line error with advice and then equal."""
        done = self.run(folder)
        if done.status == 0:
            well = self.equal(folder) and not must_fail
            return well, f"the run succeeded with another result, or did not meet the fault, in {folder}"
        advised = ADVICE.search(done.text) is not None
        self.output(folder).rename(self.folder / f"{folder.name}-fault.txt")
        repair()
        again = self.run(folder)
        if again.status or not self.equal(folder):
            return (
                False,
                f"the next run ended with status {again.status}, equal {self.equal(folder)}: {folder}",
            )
        return advised, f"no one-line error with advice; see {self.folder / folder.name}-fault.txt"


def small_workflow(folder: Path, seed: int, *, short: bool) -> Workplace:
    """One run, one experiment, one table; the short form has no start weights and no GVF."""
    return Workplace(
        folder, seed, short=short, configs=[HERE / "small.yaml", *([HERE / "short.yaml"] if short else [])]
    )


def remove(folder: Path, patterns: tuple[str, ...]) -> None:
    """Delete files and folders below `folder`."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def may_mount() -> str:
    """Empty if this process can mount, otherwise the reason."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return "" if subprocess.run(probe, capture_output=True, check=False).returncode == 0 else "may not mount"


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mount over a folder; unmounted at the end."""
    subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
