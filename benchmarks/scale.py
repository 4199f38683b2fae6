"""Every table of the paper, 20,407 videos: planning, the scheduler's overhead, and the size of a shard.

Everything real but the steps: the workflow is copied, its scripts are replaced by one that makes empty outputs, and
it runs to the end. What remains is Snakemake, one Python start per job, and the disk.
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
# Seconds and MB of planning.
TARGETS = (15.0, 1000.0)
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
    """Shards of `size` videos."""
    counts = {"train": ACTIVITYNET["training"], "valid": ACTIVITYNET["validation"]}
    shards = ", ".join(f"{name}: {{shards: {-(-count // size)}}}" for name, count in counts.items())
    text = f"datasets:\n  activitynet: {{shard_size: {size}, subsets: {{{shards}}}}}\n"
    path = folder / f"shards{size}.yaml"
    path.write_text(text)
    return path


def call(snakefile: Path, folder: Path, config: Path, *arguments: str) -> Measured:
    """Run Snakemake on the paper preset and measure it; children that it starts are not part of its memory."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--directory", folder]
    command += ["--workflow-profile", snakefile.parent / "profiles/default", "--resources", "gpu=4"]
    command += ["--config", "preset=paper", "--configfile", config, "--cores", "4", "--quiet", "rules", *arguments]
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
        seconds=seconds, cpu=usage.ru_utime + usage.ru_stime, megabytes=usage.ru_maxrss / 1000, jobs=int(total[0])
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        snakefile = stubbed(folder / "workflow")
        annotate(folder)
        configs = {size: overlay(folder, size) for size in SIZES}
        plans = {size: call(snakefile, folder, config, "--dry-run") for size, config in configs.items()}
        run = call(snakefile, folder, configs[SIZES[-1]])
        again = again_seconds(snakefile, folder, configs[SIZES[-1]])
    per_job = run.seconds / run.jobs
    print(f"{'videos':>6} {'jobs':>6} {'plan':>7} {'CPU':>7} {'memory':>8} {'overhead of a full run':>23}")
    for size, plan in plans.items():
        overhead = plan.jobs * per_job
        took = f"{plan.seconds:5.1f} s {plan.cpu:5.1f} s {plan.megabytes:5.0f} MB"
        print(f"{size:6} {plan.jobs:6,} {took} {overhead:21.0f} s")
    whole = f"{run.jobs:,} jobs, {run.seconds:.0f} s, {1000 * per_job:.0f} ms a job"
    print(f"  shards of {SIZES[-1]} run to the end: {whole};")
    print(f"  the overheads above are jobs times this; to find nothing left to do: {again:.1f} s")
    plan = plans[CHOSEN]
    missed = plan.seconds > TARGETS[0] or plan.megabytes > TARGETS[1]
    verdict = "MISSED" if missed else "reached"
    print(f"  target of planning, shards of {CHOSEN}: {TARGETS[0]:g} s, {TARGETS[1]:g} MB: {verdict}")
    if missed:
        sys.exit("error: a target is missed")


def again_seconds(snakefile: Path, folder: Path, config: Path) -> float:
    """Seconds to find that nothing is left to do."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--directory", folder, "--dry-run"]
    command += ["--workflow-profile", snakefile.parent / "profiles/default", "--config", "preset=paper"]
    start = time.monotonic()
    done = subprocess.run([*map(str, command), "--configfile", str(config)], capture_output=True, text=True, check=True)
    if "Nothing to be done" not in done.stdout + done.stderr:
        sys.exit(f"error: not everything was made\n{(done.stdout + done.stderr)[-2000:]}")
    return time.monotonic() - start


if __name__ == "__main__":
    main()
