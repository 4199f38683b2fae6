"""Run the workflow on a real SLURM on this machine: the table equals that of a run without SLURM, whatever jobs meet.

python tests/slurm/campaign.py --starter start_one_node_slurm.sh --short    one run with three mishaps
python tests/slurm/campaign.py --starter start_one_node_slurm.sh            each in a separate run; the miniature

Needs root, because the configuration of the cluster is in /etc/slurm.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from faults.common import REPOSITORY, TABLE, Workplace, small_workflow  # noqa: E402
from faults.machine import since  # noqa: E402

# profiles/README.md: two machines, here with one (simulated) GPU each.
TWO_MACHINES = ["pretrain:mpi=srun", "pretrain:nodes=2", "pretrain:tasks=2", "pretrain:gpu=0"]
TWO_MACHINES += ["pretrain:slurm_partition=gpu", "pretrain:slurm_extra='--gpus-per-node=1'"]
STARTER = Path(os.environ.get("TSP_SHARED", ROOT.parent / "shared")) / "slurm/start_one_node_slurm.sh"
PROFILE = REPOSITORY / "profiles/slurm"
# Steps that run on the submitting machine.
LOCAL = {"video_list", "annotations", "metadata", "segments", "table", "resolve_run", "resolve_experiment"}
TABLES = [f"results/tables/{name}.csv" for name in ("miniature", "miniature_proposals", "miniature_refined")]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    met: str
    survived: bool
    seconds: float


class Cluster:
    """SLURM on this machine: two virtual nodes with four processors and two simulated GPUs each."""

    def __init__(self, starter: Path) -> None:
        self.starter = starter

    def call(self, verb: str) -> None:
        """Start or purge."""
        environment = os.environ | {"SLURM_TEST_NODES": "2"}
        done = subprocess.run(["bash", str(self.starter), verb], env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"error: {self.starter} {verb}: {done.stderr.strip()[-500:]}")

    def jobs(self) -> list[dict[str, str]]:
        """All jobs since the start as `scontrol` lists them, latest first."""
        lines = subprocess.run(["scontrol", "-o", "show", "job"], capture_output=True, text=True).stdout.splitlines()
        found = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines if line.startswith("JobId=")]
        return sorted(found, key=lambda job: -int(job["JobId"]))

    def running(self, run: "Run", rule: str) -> dict[str, str] | None:
        """The running job of a rule whose step has started."""
        for job in self.jobs():
            if job.get("JobState") == "RUNNING" and rule in job.get("Comment", "") and processes(run, rule):
                return job
        return None


class Run:
    """One call of the workflow on the cluster."""

    started: ClassVar[list["Run"]] = []

    def __init__(self, folder: Path, configs: list[Path], targets: list[str], *options: str) -> None:
        command = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile", "--directory", folder]
        command += ["--workflow-profile", PROFILE, "--slurm-partition-config", PROFILE / "partitions.yaml"]
        # The cluster has no accounting database and no shared file system with latency.
        command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"]
        command += ["--seconds-between-status-checks", "2", "--latency-wait", "10", "--jobs", "4"]
        command += ["--slurm-logdir", folder / "logs/slurm", *options]
        command += ["--configfile", *configs] if configs else []
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
        self.folder = folder
        self.output = folder.parent / f"{folder.name}.txt"
        with self.output.open("a") as file:
            self.process = subprocess.Popen(
                list(map(str, [*command, "--", *targets])), cwd=REPOSITORY, env=environment, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip
        self.started.append(self)

    def when(self, seen: Callable[[], object], seconds: float = 600) -> bool:
        """Wait until `seen()`; False if the run ended before."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            if seen():
                return True
            time.sleep(0.2)
        return False

    def wait(self) -> int:
        """Exit status."""
        return self.process.wait(timeout=2400)


def processes(run: Run, rule: str) -> list[int]:
    """Python processes that run the script of a rule in the run's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            inside = path.with_name("cwd").readlink() == run.folder
        except OSError:
            continue
        if inside and any(word.endswith(f".{rule}.py".encode()) for word in words):
            found.append(int(path.parent.name))
    return found


def cancel(cluster: Cluster, run: Run, rule: str) -> bool:
    """`scancel` of the running job of a rule."""
    if not run.when(lambda: cluster.running(run, rule)):
        return False
    job = cluster.running(run, rule)
    return job is not None and subprocess.run(["scancel", job["JobId"]]).returncode == 0


def fail(cluster: Cluster, run: Run, rule: str) -> bool:
    """kill -9 of a rule's step within its job."""
    if not run.when(lambda: cluster.running(run, rule)):
        return False
    for process in processes(run, rule):
        os.kill(process, signal.SIGKILL)
    return True


def drain(cluster: Cluster, run: Run, rule: str) -> bool:
    """Drain the node on which a rule's job runs; later jobs must use the other one."""
    if not run.when(lambda: cluster.running(run, rule)):
        return False
    job = cluster.running(run, rule)
    node = job["NodeList"] if job else "n1"
    return subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test"]).returncode == 0


def kill_submitter(cluster: Cluster, run: Run, rule: str) -> bool:
    """kill -9 of the submitting Snakemake; its job continues."""
    if not run.when(lambda: cluster.running(run, rule)):
        return False
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    return True


def asked_more(cluster: Cluster, rule: str) -> bool:
    """Whether the rule's last job requested more memory and more time than its first."""
    asked = [
        (megabytes(job["MinMemoryNode"]), minutes(job["TimeLimit"]))
        for job in cluster.jobs()
        if rule in job.get("Comment", "")
    ]
    return len(asked) > 1 and asked[0][0] > asked[-1][0] and asked[0][1] > asked[-1][1]


def megabytes(text: str) -> float:
    """Of `2000M` or `4G`."""
    return float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]]


def minutes(text: str) -> float:
    """Of `2-00:30:00` or `00:00:07`."""
    days, _, clock = text.rpartition("-")
    hours, mins, seconds = map(int, clock.split(":"))
    return int(days or 0) * 1440 + hours * 60 + mins + seconds / 60


def overhead(cluster: Cluster, folder: Path) -> str:
    """Time of the cluster's jobs of an undisturbed run in addition to their steps."""
    jobs = [job for job in cluster.jobs() if job.get("StdOut", "").startswith(f"{folder}/")]
    ran = 60 * sum(minutes(job["RunTime"]) for job in jobs)
    benchmarks = [path for path in (folder / "logs").rglob("*.tsv") if path.parent.name not in LOCAL]
    steps = sum(float(path.read_text().splitlines()[1].split()[0]) for path in benchmarks)
    each = (ran - steps) / max(1, len(jobs))
    return f"{len(jobs)} jobs, {ran:.0f} s, of which steps {steps:.0f} s: {each:.1f} s per job in addition to its steps"


def short(cluster: Cluster, place: Workplace) -> list[Row]:
    """One run, starting with pretraining, in which a step is killed, a job is cancelled and a node is drained."""
    folder, start = place.copy("slurm", since("pretraining")), time.monotonic()
    run = Run(folder, place.configs, [TABLE])
    met = [
        ("a failing job", fail(cluster, run, "pretrain")),
        ("a cancelled job", cancel(cluster, run, "extract_features")),
        ("a drained node", drain(cluster, run, "train_localiser")),
    ]
    well = run.wait() == 0 and place.equal(folder)
    seconds = time.monotonic() - start
    rows = [Row(met=f"{name} (one run)", survived=happened and well, seconds=seconds) for name, happened in met]
    more = well and asked_more(cluster, "pretrain")
    return [*rows, Row(met="a retry requests more memory, time", survived=more, seconds=seconds)]


def complete(cluster: Cluster, place: Workplace) -> Iterator[Row]:
    """Each mishap in a separate run."""
    for name, mishap, rule in (
        ("no mishap", None, ""),
        ("a failing job", fail, "pretrain"),
        ("a cancelled job", cancel, "extract_features"),
        ("a drained node", drain, "train_localiser"),
        ("a killed submitter", kill_submitter, "train_localiser"),
    ):
        cluster.call("start")  # also resumes drained nodes
        folder, start = place.empty(name.replace(" ", "_")), time.monotonic()
        run = Run(folder, place.configs, [TABLE])
        happened = mishap is None or mishap(cluster, run, rule)
        status = run.wait() if mishap is not kill_submitter else Run(folder, place.configs, [TABLE]).wait()
        yield Row(met=name, survived=happened and status == 0 and place.equal(folder), seconds=time.monotonic() - start)
        if mishap is None:
            print(overhead(cluster, folder), flush=True)


def two_machines(cluster: Cluster, place: Workplace) -> Row:
    """Training started by the cluster's launcher, as in profiles/README.md."""
    folder, start = place.empty("two_nodes"), time.monotonic()
    targets = ["results/pretrain/mini_tsp/encoder.safetensors"]
    configs = [*place.configs, Path(__file__).with_name("two_replicas.yaml")]
    status = Run(folder, configs, targets, "--set-resources", *TWO_MACHINES).wait()
    logged = "".join(path.read_text() for path in (folder / "logs/pretrain").glob("mini_tsp.log"))
    job = next(job for job in cluster.jobs() if "pretrain" in job.get("Comment", ""))
    spread = (job["Partition"], job["NumNodes"], job.get("TresPerNode")) == ("gpu", "2", "gres:gpu:1")
    well = status == 0 and "srun -n 2" in logged and spread
    return Row(met="training by srun on two nodes", survived=well, seconds=time.monotonic() - start)


def whole_miniature(place: Workplace) -> Row:
    """The tables of `make demo`, locally and on the cluster."""
    here, there = place.empty("miniature_here"), place.empty("miniature_slurm")
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--snakefile", REPOSITORY / "Snakefile"]
    command += ["--directory", here, "--workflow-profile", REPOSITORY / "profiles/default", "--", *TABLES]
    subprocess.run(list(map(str, command)), cwd=REPOSITORY, check=True, capture_output=True)
    start = time.monotonic()
    status = Run(there, [], TABLES).wait()
    same = all((here / name).read_bytes() == (there / name).read_bytes() for name in TABLES) if status == 0 else False
    return Row(met="the whole miniature", survived=same, seconds=time.monotonic() - start)


def printed(rows: Iterable[Row]) -> list[Row]:
    """The rows, each printed as soon as it is available."""
    kept = []
    for row in rows:
        print(f"{row.met:40} {'yes' if row.survived else 'NO':8} {row.seconds:8.0f}", flush=True)
        kept.append(row)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="one run with three mishaps")
    parser.add_argument("--starter", type=Path, default=STARTER, help="script that starts a SLURM on this machine")
    parser.add_argument("--keep", type=Path, help="folder that keeps the runs for inspection")
    args = parser.parse_args()
    if not args.starter.is_file() or os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"skipped: needs root, Debian and a script that starts SLURM ({args.starter})")
        return
    # A stopped campaign must not leave a cluster behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: stopped"))
    start = time.monotonic()
    cluster = Cluster(args.starter)
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        place = small_workflow((args.keep or Path(name)).resolve(), 0, short=True)
        print(f"without SLURM: {place.seconds:.0f} s", flush=True)
        cluster.call("start")
        print(f"{'met on the cluster':40} survived  seconds", flush=True)
        try:
            rows = printed(short(cluster, place))
            if not args.short:
                rows += printed(complete(cluster, place))
                cluster.call("start")
                rows += printed([two_machines(cluster, place)])
                rows += printed([whole_miniature(place)])
        finally:
            for run in Run.started:
                if run.process.poll() is None:
                    os.killpg(run.process.pid, signal.SIGKILL)
            cluster.call("purge")
    print(f"{sum(row.survived for row in rows)} of {len(rows)}, {time.monotonic() - start:.0f} s")
    if not all(row.survived for row in rows):
        sys.exit("error: not every mishap was survived")


if __name__ == "__main__":
    main()
