"""A copy of the repository, runs of the workflow in a folder, and what they computed."""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from incremental.server import Run, Server

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PARTS = ("Snakefile", "src", "workflow", "rules", "config", "resources", "profiles", "envs")
# Not compared: records of steps and of stores, work folders.
# One section of the page says how long each step took.
PAGE = "results/report/index.html"
COSTS = re.compile(rb'<section id="cost">.*?</section>', re.S)
PRIVATE = re.compile(r"(^|/)(\.made|\.sums|work)(/|$)")


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a run of the workflow ended."""

    status: int
    text: str


class Repository:
    """A copy of the repository that edits may change, and its way back.

    Python compares the seconds of a module's time with those in its bytecode: each write gets a second of its own, so
    that an edit of equal length is never taken for the module before it.
    """

    def __init__(self, folder: Path, original: Path = ROOT) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in PARTS:
            source = original / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy2(source, folder / name)
        self._stamp = 1_700_000_000
        self._original: dict[str, bytes | None] = {}

    def read(self, name: str) -> str:
        """Text of one file."""
        return (self.folder / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        """Replace one file; `restore` brings back what it was."""
        path = self.folder / name
        self._original.setdefault(name, path.read_bytes() if path.exists() else None)
        path.write_text(text, encoding="utf-8")
        self._date(path)

    def digest(self) -> str:
        """Digest of all files."""
        digest = hashlib.sha256()
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file()):
            digest.update(str(path.relative_to(self.folder)).encode() + path.read_bytes())
        return digest.hexdigest()

    def changed(self) -> dict[str, str]:
        """Original text of all files that edits have changed."""
        return {name: (content or b"").decode() for name, content in self._original.items()}

    def snapshot(self) -> dict[str, str]:
        """Text of all files that edits have changed so far."""
        return {name: self.read(name) for name in self._original}

    def return_to(self, snapshot: dict[str, str]) -> None:
        """Undo the edits since a snapshot."""
        for name, content in list(self._original.items()):
            wanted = snapshot.get(name, (content or b"").decode())
            if self.read(name) != wanted:
                self.write(name, wanted)

    def restore(self) -> None:
        """Undo all edits."""
        for name, content in self._original.items():
            path = self.folder / name
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
                self._date(path)
        self._original.clear()

    def _date(self, path: Path) -> None:
        self._stamp += 1
        os.utime(path, (self._stamp, self._stamp))


class Workflow:
    """Runs of the workflow of one repository.

    Args:
        server: starts the runs.
        repository: code, rules and configuration.
        targets: what is built.
        environment: variables of every run.
        hooks: `module:function` called in Snakemake's process before it starts.
    """

    def __init__(
        self,
        server: Server,
        repository: Repository,
        targets: list[str],
        environment: dict[str, str] | None = None,
        hooks: list[str] | None = None,
    ) -> None:
        self.server, self.repository, self.targets = server, repository, targets
        self.environment, self.hooks = environment or {}, hooks or []

    def start(self, folder: Path, *arguments: str) -> Run:
        """Start the workflow in `folder`; `settings.yaml` there is its overlay."""
        command = ["--cores", "2", "--snakefile", str(self.repository.folder / "Snakefile"), "--directory", str(folder)]
        command += ["--workflow-profile", str(self.repository.folder / "profiles/default")]
        command += ["--configfile", str(folder / "settings.yaml"), *arguments, "--", *self.targets]
        task = {
            "cwd": str(folder),
            "environment": {"PYTHONPATH": str(self.repository.folder / "src"), **self.environment},
            "path": [str(self.repository.folder / "src"), str(HERE.parent)],
            "output": str(self.output(folder)),
            "arguments": command,
            "hooks": self.hooks,
        }
        return self.server.start(task)

    def output(self, folder: Path) -> Path:
        """Messages of the last run in `folder`."""
        return folder.parent / f"{folder.name}.txt"

    def run(self, folder: Path, *arguments: str) -> Done:
        """Run the workflow to its end."""
        status = self.start(folder, *arguments).wait()
        return Done(status=status, text=self.output(folder).read_text(errors="replace"))


def computed(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of all outputs, by path of the output."""
    root = folder / "results/.made"
    found = {}
    for path in root.rglob("*.json"):
        name = str(path.relative_to(root))[: -len(".json")]
        if not name.startswith("kept/"):
            try:
                found[name] = json.loads(path.read_text())
            except ValueError:
                continue
    return found


def jobs_between(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, list[str]], set[str]]:
    """Jobs that computed between two readings of the records.

    Returns:
        Outputs of each job; and those jobs whose outputs all came out as they were.
    """
    ran: dict[str, list[str]] = {}
    for name, record in after.items():
        if record.get("kept") or (name in before and moment(before[name]) == moment(record)):
            continue
        job = f"{record.get('rule')} {' '.join(map(str, record.get('wildcards', {}).values()))}".strip()
        ran.setdefault(job, []).append(name)
    same = {
        job
        for job, names in ran.items()
        if all(n in before and before[n]["sha256"] == after[n]["sha256"] for n in names)
    }
    return ran, same


def moment(record: dict[str, Any]) -> Any:
    """When an output was computed; the file's own clock distinguishes two within a second."""
    return record.get("started"), record.get("seconds")


def digests(folder: Path) -> dict[str, str]:
    """Checksums of everything that a workflow wrote for others."""
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not PRIVATE.search(name):
            content = path.read_bytes()
            found[name] = hashlib.sha256(COSTS.sub(b"", content) if name == PAGE else content).hexdigest()
    return found


def last_error(text: str) -> str:
    """The line that says why a run failed."""
    lines = [line.strip() for line in text.splitlines() if re.search(r"error|exception|is a bug", line, re.I)]
    stated = [line for line in lines if re.search(r"(^|\s)error: ", line)]
    return re.sub(r"^\d\d:\d\d:\d\d ", "", (stated or lines or ["no message"])[0])[:300]
