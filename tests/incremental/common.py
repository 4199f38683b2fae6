"""A copy of the repository, a folder with sources and results, and runs of the workflow in it."""

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from incremental.server import Run, Server

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PARTS = ("Snakefile", "src", "workflow", "rules", "config", "resources", "profiles", "envs")
# Not compared: what Snakemake or the mechanism writes for itself, work folders, and times.
PRIVATE = re.compile(r"(^|/)(\.made|\.sums|work|\.snakemake)(/|$)")


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

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in PARTS:
            source = ROOT / name
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
    """

    def __init__(
        self, server: Server, repository: Repository, targets: list[str], environment: dict[str, str] | None = None
    ) -> None:
        self.server, self.repository, self.targets = server, repository, targets
        self.environment = environment or {}

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
        }
        return self.server.start(task)

    def output(self, folder: Path) -> Path:
        """Messages of the last run in `folder`."""
        return folder.parent / f"{folder.name}.txt"

    def run(self, folder: Path, *arguments: str) -> Done:
        """Run the workflow to its end."""
        status = self.start(folder, *arguments).wait()
        return Done(status=status, text=self.output(folder).read_text(errors="replace"))
