"""Every table of the paper, 20,407 videos: planning, the scheduler's overhead, and the size of a shard.

Everything is real except the steps: the workflow is copied, its scripts are replaced by one that creates empty outputs,
and it runs to the end with each size. What remains is Snakemake, one Python start per job, and the disk.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ACTIVITYNET = {"training": 10_024, "validation": 4_926, "testing": 5_044}
THUMOS14 = {"val": 200, "test": 213}
CAPTIONS = ("train.json", "val_1.json", "val_2.json", "available_mp4.txt")
SIZES = (50, 100, 200, 400)
CHOSEN = 100
# No table needs ActivityNet's test subset, whose annotations are not public; its features make 20,407 videos of all.
TARGETS = ("all", "results/features/tsp_activitynet/stride16/activitynet-test.h5")
# Seconds and MB of planning.
LIMITS = (15.0, 1000.0)
STUB = """
from pathlib import Path

for path in snakemake.output:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).touch()
"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Wall seconds, CPU seconds and peak MB of the process, and jobs of one call."""

    seconds: float
    cpu: float
    megabytes: float
    jobs: int


def stubbed(folder: Path) -> Path:
    """A copy of the workflow with steps that do nothing; its Snakefile."""
    for name in ("rules", "src", "config", "resources", "profiles", "workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    for script in (folder / "workflow/scripts").glob("*.py"):
        script.write_text(STUB)
    return folder / "Snakefile"


def annotate(folder: Path) -> None:
    """Annotation files with as many videos as the official ones, their names made up."""
    database, number = {}, 0
    for subset, count in ACTIVITYNET.items():
        for _ in range(count):
            database[f"{number:011d}"] = {"subset": subset, "duration": 120.0, "annotations": [], "url": "https://x/"}
            number += 1
    path = folder / "data/activitynet/activity_net.v1-3.min.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"version": "1.3", "taxonomy": [], "database": database}))
    for name, count in THUMOS14.items():
        path = folder / f"data/thumos14/{name}_Annotation.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"video_{name}_{k:07d},BaseballPitch,0.5,1.5" for k in range(count)]
        path.write_text("\n".join(["video,type,start,end", *rows]) + "\n")
    for name in CAPTIONS:
        path = folder / "data/activitynet_captions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def overlay(folder: Path, size: int) -> Path:
    """Shards of `size` videos, the test subset among them."""
    subsets = {
        name: {"official": official, "shards": -(-ACTIVITYNET[official] // size)}
        for name, official in (("train", "training"), ("valid", "validation"), ("test", "testing"))
    }
    path = folder / f"shards{size}.yaml"
    path.write_text(json.dumps({"datasets": {"activitynet": {"shard_size": size, "subsets": subsets}}}))
    return path


def call(snakefile: Path, folder: Path, config: Path, *arguments: str) -> Measured:
    """Run Snakemake on the paper preset and measure it; children that it starts are not part of its memory."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--directory", folder]
    command += ["--workflow-profile", snakefile.parent / "profiles/default", "--resources", "gpu=4"]
    command += ["--config", "preset=paper", "--configfile", config, "--cores", "4", "--quiet", "rules"]
    command += [*arguments, "--", *TARGETS]
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output, cwd=snakefile.parent)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"error: snakemake failed\n{text[-3000:]}")
    total = [line.split()[1] for line in text.splitlines() if line.startswith("total ")]
    return Measured(
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        megabytes=usage.ru_maxrss / 1000,
        jobs=int(total[0]) if total else 0,
    )


def main() -> None:
    print(f"{'videos':>6} {'jobs':>6} {'plan':>7} {'CPU':>7} {'memory':>8} {'full run':>9} {'a job':>7} {'again':>7}")
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        snakefile = stubbed(Path(name) / "workflow")
        plans = {}
        for size in SIZES:
            folder = Path(name) / str(size)
            annotate(folder)
            config = overlay(folder, size)
            plan = plans[size] = call(snakefile, folder, config, "--dry-run")
            run = call(snakefile, folder, config)
            again = call(snakefile, folder, config, "--dry-run")
            if run.jobs != plan.jobs or again.jobs:
                sys.exit(f"error: {plan.jobs} jobs were planned, {run.jobs} run, {again.jobs} left")
            print(
                f"{size:6} {plan.jobs:6,} {plan.seconds:5.1f} s {plan.cpu:5.1f} s {plan.megabytes:5.0f} MB"
                f" {run.seconds:7.0f} s {1000 * run.seconds / run.jobs:4.0f} ms {again.seconds:5.1f} s",
                flush=True,
            )
    plan = plans[CHOSEN]
    missed = plan.seconds > LIMITS[0] or plan.megabytes > LIMITS[1]
    verdict = "MISSED" if missed else "reached"
    print("full run: all jobs, the steps doing nothing; again: to find that nothing is left to do")
    print(f"target of planning, shards of {CHOSEN}: {LIMITS[0]:g} s, {LIMITS[1]:g} MB: {verdict}")
    if missed:
        sys.exit("error: a target is missed")


if __name__ == "__main__":
    main()
