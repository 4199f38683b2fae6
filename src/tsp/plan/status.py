"""What is done, running, stale and missing, and the cost of what remains, from a dry run of Snakemake."""

import fcntl
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsp.errors import TspError
from tsp.io.files import read_text

RULE = re.compile(r"^(?:local)?(?:rule|checkpoint) (\S+):$")
# Rules that only name targets.
TARGETS = re.compile(r"^(all|features|tables|ablations|captions|report|check|demo|(table|run)_.*)$")
STALE = ("Params have changed", "Code has changed", "Software environment", "Set of input files has changed")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Jobs of one rule.

    Args:
        rule: its name.
        done: finished jobs with a measurement in logs/.
        missing: jobs to run because an output or an input is missing.
        stale: jobs to run because parameters or code changed.
        running: steps that run now.
        seconds: median wall time of a finished job; None: not measured.
    """

    rule: str
    done: int
    missing: int
    stale: int
    running: int
    seconds: float | None

    @property
    def cost_s(self) -> float | None:
        """Seconds of its missing and stale jobs in sequence; None: not measured."""
        return None if self.seconds is None else self.seconds * (self.missing + self.stale)


def planned(snakefile: Path, arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Rule and reason of each job that `snakemake --dry-run` would run.

    Raises:
        TspError: the dry run failed; with Snakemake's message.
    """
    command = [sys.executable, "-m", "snakemake", "-s", str(snakefile), "--cores", "1", "--dry-run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise TspError("snakemake: " + "\n".join(lines[-6:]))
    return list(jobs_of(done.stdout + done.stderr))


def jobs_of(text: str) -> Iterable[tuple[str, str]]:
    """Rule and reason of each job in the output of a dry run."""
    rule = ""
    for line in text.splitlines():
        if found := RULE.match(line):
            rule = found.group(1)
        elif rule and line.startswith("    reason: "):
            yield rule, line.removeprefix("    reason: ")
            rule = ""


def stages(jobs: Iterable[tuple[str, str]], logs: Path) -> list[Stage]:
    """Count the jobs by rule, in the order in which they would run, then the finished rules."""
    counts: dict[str, list[int]] = {}
    for rule, reason in jobs:
        if not TARGETS.match(rule):
            counts.setdefault(rule, [0, 0])[reason.startswith(STALE)] += 1
    for folder in sorted(path for path in logs.glob("*") if path.is_dir()):
        counts.setdefault(folder.name, [0, 0])
    return [
        Stage(
            rule=rule,
            done=max(0, len(times) - missing - stale) if (times := _times(logs / rule)) else 0,
            missing=missing,
            stale=stale,
            running=sum(map(is_running, (logs / rule).glob("*.log"))),
            seconds=statistics.median(times) if times else None,
        )
        for rule, (missing, stale) in counts.items()
    ]


def _times(folder: Path) -> list[float]:
    found = []
    for path in folder.glob("*.tsv"):
        rows = read_text(path).splitlines()
        if len(rows) > 1:
            found.append(float(rows[-1].split("\t")[0]))
    return found


def is_running(log: Path) -> bool:
    """Whether a step holds the lock on its log file."""
    with log.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no locks on this file system
            return False
    return False


def table(found: Sequence[Stage]) -> str:
    """The stages as text, with the total cost of the remaining jobs."""
    rows = [("stage", "done", "running", "missing", "stale", "each", "left")]
    rows += [
        (s.rule, str(s.done), str(s.running), str(s.missing), str(s.stale), _time(s.seconds), _time(s.cost_s))
        for s in found
    ]
    left = [s for s in found if s.missing + s.stale]
    known = [s.cost_s for s in left if s.cost_s is not None]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    unknown = sum(s.missing + s.stale for s in left if s.cost_s is None)
    total = f"left: {sum(s.missing + s.stale for s in left)} jobs, {_time(sum(known))} one after another"
    return "\n".join([*lines, total + (f", and {unknown} jobs never measured here" if unknown else "")])


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:.1f} h" if hours >= 1 else f"{minutes:.1f} min" if minutes >= 1 else f"{seconds:.0f} s"
