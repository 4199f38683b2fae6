"""Random sequences of edits on the small workflow, everything computed for real, each compared with a clean build."""

import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import yaml
from incremental import edits, recording, sources
from incremental.common import HERE, Repository, Workflow, computed, digests, jobs_between, last_error
from incremental.fields import fields_of_small
from incremental.server import Server
from incremental.stub import REAL, RUNNING, code_of_text, module_code

TARGETS = ["all", "captions"]
# The documented way out of a refused resumption: the message names the folder to delete.
DISCARD = re.compile(r"error: .* delete (results/\S+) to start again")
# Where files come from; run in a process of its own, because the campaign imports another copy of the library.
RENDER = """
from pathlib import Path
from tsp.caption.text import write_references
from tsp.datasets.rendering import render
from tsp.datasets.synthetic import SyntheticConfig
from tsp.io.annotations import read_annotations
options = dict(kind="untrimmed", n_train=5, n_valid=5, seconds=(13.0, 14.0), faults=False)
render(SyntheticConfig(**options), Path("sources"), Path("annotations.json"), 2)
render(SyntheticConfig(**options, seed=7), Path("pool"), Path("pool.json"), 2)
for side in ("training", "validation"):
    write_references(f"captions_{side}.json", [v for v in read_annotations("annotations.json") if v.subset == side])
"""


class Sequences:
    """Real runs: a base with results, from a copy of which each try starts.

    Args:
        folder: of the runs; what is finished there is used again.
        server: starts runs.
        original: repository to copy.
        seed: of all choices.
    """

    def __init__(self, folder: Path, server: Server, original: Path, seed: int) -> None:
        self.folder, self.server, self.seed = folder, server, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.repository = Repository(folder / "repository", original)
        self.workflow = Workflow(server, self.repository, TARGETS)
        self.base, self.closures = folder / "base", folder / "closures.json"
        self.seconds = 0.0

    def prepare(self, *, short: bool) -> None:
        """Sources and the base; unless `short`, a second clean build that must equal it."""
        facts, code = self.folder / "base.json", self.repository.digest()
        found = json.loads(facts.read_text()) if facts.exists() else {}
        if found.get("code") != code:
            shutil.rmtree(self.base, ignore_errors=True)
            self.base.mkdir()
            environment = {"PYTHONPATH": str(self.repository.folder / "src")}
            subprocess.run([sys.executable, "-c", RENDER], cwd=self.base, check=True, env=environment)
            shutil.copy(HERE / "small.yaml", self.base / "settings.yaml")
            begun = time.monotonic()
            self._build_recorded()
            found = {"code": code, "seconds": round(time.monotonic() - begun), "files": len(digests(self.base))}
            if not short:
                self._verify_equal_builds()
            facts.write_text(json.dumps(found))
        self.seconds = found["seconds"]
        print(f"small workflow: {found['seconds']} s, {found['files']} files", flush=True)

    def _verify_equal_builds(self) -> None:
        second = self.clean_copy(self.base, "second")
        done = self.workflow.run(second)
        differ = _differences(digests(second), digests(self.base))
        if done.status or differ:
            sys.exit(f"error: two clean builds differ: {', '.join(differ) or last_error(done.text)}")

    def _build_recorded(self) -> None:
        records = self.folder / "records"
        shutil.rmtree(records, ignore_errors=True)
        records.mkdir()
        environment = {"CAMPAIGN_STEP": "incremental.recording:run", "CAMPAIGN_RECORDS": str(records)}
        done = Workflow(self.server, self.repository, TARGETS, environment).run(self.base)
        if done.status:
            sys.exit(f"error: the undisturbed run failed\n{done.text[-3000:]}")
        self.closures.write_text(json.dumps(recording.merged(records)))

    def clean_copy(self, folder: Path, name: str) -> Path:
        """The same sources, annotations and settings, without any result."""
        there = self.folder / name
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(folder, there, ignore=shutil.ignore_patterns("results", "logs", ".snakemake"))
        return there

    def kinds(self) -> dict[str, Callable[[random.Random, Path], str | None]]:
        """All kinds of edits."""
        settings = {"configuration": fields_of_small(), "standardise": STANDARDISE, "generator": GENERATOR}
        found: dict[str, Any] = {
            name: lambda chances, folder, choices=choices: _set(chances, folder, choices)
            for name, choices in settings.items()
        }
        code = {"constant": self._literal, "default": self._literal, "script": self._append, "comment": self._comment}
        for name, edit in code.items():
            found[name] = lambda chances, folder, name=name, edit=edit: edit(chances, name)
        return {**found, **sources.EDITS, "killed": self._killed}

    def _modules(self) -> list[str]:
        closures = json.loads(self.closures.read_text())
        modules = {m for entry in closures.values() for m in entry["modules"] if not RUNNING.fullmatch(m)}
        files = [f"src/{m.replace('.', '/')}.py" for m in sorted(modules)]
        return [f for f in files if (self.repository.folder / f).is_file()]

    def _literal(self, chances: random.Random, kind: str) -> str | None:
        files = [f for f in self._modules() if edits.is_touched(f)]
        for _ in range(20):
            file = chances.choice(files)
            found = [p for p in edits.places(self.repository, file) if p.kind == kind]
            if found:
                place = chances.choice(found)
                place.apply(self.repository)
                return str(place)
        return None

    def _append(self, chances: random.Random, kind: str) -> str:
        closures = json.loads(self.closures.read_text())
        files = sorted({e["script"] for e in closures.values()} | {f for e in closures.values() for f in e["files"]})
        return edits.append(self.repository, chances.choice(files), chances.randrange(10**6))

    def _comment(self, chances: random.Random, kind: str) -> str:
        return edits.comment(self.repository, chances.choice(self._modules()), chances.randrange(10**6))

    def _killed(self, chances: random.Random, folder: Path) -> str:
        moment = chances.uniform(3, 0.5 * self.seconds)
        run = self.workflow.start(folder)
        over = run.is_over(moment)
        run.wait() if over else run.kill()
        return f"killed after {moment:.1f} s" + " (was over)" * over

    def attempt(self, number: int, only: list[str] | None = None) -> dict[str, Any]:
        """One try: edits, perhaps with builds between them, the incremental build, a clean build."""
        chances = random.Random(f"{self.seed} {number}")
        begun = time.monotonic()
        self.repository.restore()
        folder = self.folder / "try"
        shutil.rmtree(folder, ignore_errors=True)
        # With links between names of one file, and times.
        subprocess.run(["cp", "-a", str(self.base), str(folder)], check=True)
        kinds = self.kinds()
        made: list[list[str]] = []
        for _ in range(chances.choice([1, 1, 2, 3, 4])):
            # A kill needs something to interrupt.
            kind = chances.choice(only or sorted(kinds if made else kinds.keys() - {"killed"}))
            try:
                text = kinds[kind](chances, folder)
            except AssertionError as error:
                text = None if "changed by another edit" in str(error) else f"failed: {error}"
            made += [[kind, text]] if text else []
            if made and chances.random() < 0.25:
                made.append(["built", f"status {self.incremental(folder)[0]}"])
        before = computed(folder)
        status, text, discarded = self.incremental(folder)
        row = {"kind": "real", "number": number, "edits": made, **self._judged(folder, before, status, text)}
        if row["result"] == "different":
            self._keep(number)
        return {**row, "discarded": discarded, "seconds": round(time.monotonic() - begun, 1)}

    def _keep(self, number: int) -> None:
        """Both builds and the code stay for inspection."""
        for name in ("try", "try.txt", "clean", "clean.txt", "repository"):
            kept = self.folder / f"different-{number}-{name}"
            shutil.rmtree(kept, ignore_errors=True)
            subprocess.run(["cp", "-a", str(self.folder / name), str(kept)], check=True)

    def incremental(self, folder: Path) -> tuple[int, str, list[str]]:
        """Build; where a resumption is refused, delete the folder that the message names and build again."""
        discarded: list[str] = []
        while True:
            done = self.workflow.run(folder)
            named = DISCARD.search(done.text) if done.status else None
            if named is None or named.group(1) in discarded:
                return done.status, done.text, discarded
            discarded.append(named.group(1))
            shutil.rmtree(folder / named.group(1), ignore_errors=True)

    def _judged(self, folder: Path, before: dict[str, Any], status: int, text: str) -> dict[str, Any]:
        after = computed(folder)
        clean = self.clean_copy(folder, "clean")
        done = self.workflow.run(clean)
        if status or done.status:
            errors = [last_error(text) if status else "", last_error(done.text) if done.status else ""]
            same = bool(status) and bool(done.status)
            return {"result": "refused" if same else "different", "errors": errors, "jobs": 0, "needless": []}
        wanted, found = digests(clean), digests(folder)
        differ = _differences(wanted, found)
        ran, same_outputs = jobs_between(before, after)
        needless = [job for job in same_outputs if not self._has_reason(job, before, after, ran[job])]
        return {
            "result": "different" if differ else "equal",
            "files": differ[:10],
            "n_files": len(differ),
            "missing": sorted(wanted.keys() - found.keys())[:10],
            "jobs": len(ran),
            "needless": sorted(needless),
        }

    def _has_reason(self, job: str, before: dict[str, Any], after: dict[str, Any], outputs: list[str]) -> bool:
        """Whether an input, a setting or code that the step imports has changed."""
        old, new = before.get(outputs[0]), after[outputs[0]]
        if old is None or old["inputs"] != new["inputs"] or _settings(old) != _settings(new):
            return True
        closures = json.loads(self.closures.read_text())
        entry = recording.record_for(job.split(" ")[0], new["wildcards"], closures)
        if entry is None:
            return True
        changed = self.repository.changed()
        # Steps that resolve a configuration read the options too.
        read = {*entry["files"], entry["script"], *(f"src/{m.replace('.', '/')}.py" for m in entry["modules"])}
        if entry["rule"] in REAL:
            return bool(read & changed.keys())
        used = frozenset(entry["defaults"])
        for file, original in changed.items():
            module = file.removeprefix("src/").removesuffix(".py").replace("/", ".")
            if module in entry["modules"]:
                if module_code(self.repository.folder, module, used) != code_of_text(original, module, used):
                    return True
            elif file in (entry["script"], *entry["files"]):
                return True
        return False


def _differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """Files of a clean build that another build has with other content, and what users ask for that it lacks.

    A missing file that nothing asks for is no stale one: Snakemake makes it again when a job needs it.
    """
    asked = tuple(f"results/{name}/" for name in ("tables", "report"))
    return sorted(
        name for name in wanted if found.get(name, wanted[name] if not name.startswith(asked) else "") != wanted[name]
    )


def _settings(record: dict[str, Any]) -> Any:
    return {k: v for k, v in record["params"].items() if k != "code"}


STANDARDISE = [
    (("datasets", "synthetic", "standardise", name), value)
    for name, values in {"crf": (20, 30, 40), "keyframe_interval": (8, 32), "shrink": ([30, 34], [28, 34])}.items()
    for value in values
]
GENERATOR = [(("datasets", "synthetic_trimmed", "generate", "seed"), value) for value in range(1, 9)]


def _set(chances: random.Random, folder: Path, choices: list[tuple[tuple[str, ...], Any]]) -> str | None:
    path, value = chances.choice([choice for choice in choices if choice[1] is not MISSING])
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump(edits.put(yaml.safe_load(file.read_text()), path, value)))
    return f"{'.'.join(path)}: {value!r}"
