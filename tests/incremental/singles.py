"""Single edits over the full miniature with captions, its steps replaced by digests of what they read (`stub`)."""

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

import yaml
from incremental import edits
from incremental.common import Repository, Workflow, computed, jobs_between, last_error
from incremental.fields import TABLES, fields_of_preset, refusal
from incremental.server import Server
from incremental.stub import REAL, RUNNING

TARGETS = ["all", "captions"]
# Sections of the configuration, as rules are: what follows from which.
FIRST = ["datasets", "download", "encoders", "runs", "extract", "sound"]
REFINED = "experiments.pgcn_synthetic"
SECTIONS = {name: FIRST[:number] for number, name in enumerate(FIRST)} | {
    **dict.fromkeys(("captions", "experiments.gtad_synthetic", "experiments.bmn_synthetic"), FIRST),
    REFINED: [*FIRST, "experiments.bmn_synthetic"],
    **{f"tables.{name}": [*FIRST, "captions", "experiments.gtad_synthetic", REFINED] for name in TABLES},
}


@dataclass(frozen=True, kw_only=True)
class Single:
    """One edit of the pass."""

    kind: str
    """`field`, `constant`, `default`, `script`, `resource` or `comment`."""
    name: str
    """What it edits; unique in its kind."""
    apply: Callable[["Singles", int], str | None]
    """Makes the edit and describes it; None if there is nothing to edit."""
    touches: frozenset[str]
    """What it may change directly: rules, or a section of the configuration."""


class Singles:
    """The pass: one folder of stub results, edits made one after the other.

    Args:
        folder: of the pass.
        server: starts runs.
        original: repository to copy.
        closures: records of real steps (`recording.merged`), as a file.
        seed: of the choice of literals.
    """

    def __init__(self, folder: Path, server: Server, original: Path, closures: Path, seed: int) -> None:
        self.folder = folder / "results"
        shutil.rmtree(folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.repository = Repository(folder / "repository", original)
        self.closures = json.loads(closures.read_text())
        self.settings: dict[str, Any] = {
            # With its captions among the tables, the page shows them from the first build on.
            "build": {"tables": [*TABLES]},
            "runs": {"mini_start": {"track_code": "all"}, "mini_tsp": {"track_code": "all"}},
        }
        self.seed = seed
        self.above: dict[str, list[str]] = {}
        self.report = folder / "report.json"
        environment = {
            "CAMPAIGN_STEP": "incremental.stub:run",
            "CAMPAIGN_CLOSURES": str(closures),
            "CAMPAIGN_REPORT": str(self.report),
        }
        self.workflow = Workflow(server, self.repository, TARGETS, environment, hooks=["incremental.stub:hook"])

    def edits(self) -> list[Single]:
        """Every field of the preset, a constant and a default of every module, every script and resource."""
        modules = sorted({m for entry in self.closures.values() for m in entry["modules"] if not RUNNING.fullmatch(m)})
        files = {f: m for m in modules if (f := self._file(m)) is not None and not f.endswith("__init__.py")}
        resources = sorted({name for entry in self.closures.values() for name in entry["files"]})
        found = [
            Single(
                kind="field", name=".".join(path), apply=_field(path, value), touches=frozenset({".".join(path[:2])})
            )
            for path, value in fields_of_preset()
        ]
        for kind in ("constant", "default"):
            found += [
                Single(kind=kind, name=f, apply=_literal(kind, f), touches=self._rules("modules", m))
                for f, m in files.items()
            ]
        for script in self._scripts():
            name = f"workflow/scripts/{script.name}"
            touches = frozenset({e["rule"] for e in self.closures.values() if e["script"] == name})
            found.append(Single(kind="script", name=name, apply=_append(name), touches=touches))
        found += [Single(kind="resource", name=f, apply=_append(f), touches=self._rules("files", f)) for f in resources]
        quiet = [*list(files)[::4], *(f"workflow/scripts/{p.name}" for p in self._scripts())][::2]
        found += [Single(kind="comment", name=f, apply=_comment(f), touches=frozenset({f})) for f in quiet]
        random.Random(self.seed).shuffle(found)
        return found

    def _rules(self, part: str, name: str) -> frozenset[str]:
        return frozenset(entry["rule"] for entry in self.closures.values() if name in entry[part])

    def _file(self, module: str) -> str | None:
        base = Path("src", *module.split("."))
        found = (p for p in (base.with_suffix(".py"), base / "__init__.py") if (self.repository.folder / p).is_file())
        return next((str(p) for p in found), None)

    def _scripts(self) -> Iterator[Path]:
        used = {entry["script"] for entry in self.closures.values()}
        for path in sorted((self.repository.folder / "workflow/scripts").glob("*.py")):
            if f"workflow/scripts/{path.name}" in used:
                yield path

    def start(self) -> float:
        """The clean build that the edits begin with; its seconds."""
        begun = time.monotonic()
        status, text = self.build()
        assert status == 0, text[-3000:]
        report = json.loads(self.report.read_text())
        stale, rules = report["stale"], report["above"]
        self.above = {**rules, **SECTIONS}
        assert not stale, f"a clean build is not what its digests say: {stale}"
        return time.monotonic() - begun

    def build(self) -> tuple[int, str]:
        """Run the workflow."""
        self.report.unlink(missing_ok=True)
        (self.folder / "settings.yaml").write_text(yaml.safe_dump(self.settings))
        done = self.workflow.run(self.folder, "--notemp")
        return done.status, done.text

    def batches(self, singles: list[Single], most: int = 16) -> Iterator[list[Single]]:
        """Edits of one kind of which none can hide another, in the order given: a rule that runs again because its
        inputs have changed would do so without a change of its own."""
        waiting = list(singles)
        while waiting:
            batch, touched = [waiting[0]], self._with_rules_above(waiting[0].touches)
            reached = set(waiting[0].touches)
            for single in waiting[1:]:
                above = self._with_rules_above(single.touches)
                if (
                    len(batch) < most
                    and single.kind == batch[0].kind
                    and not (touched & single.touches | above & reached)
                ):
                    batch.append(single)
                    touched |= above
                    reached |= single.touches
            waiting = [single for single in waiting if single not in batch]
            yield batch

    def _with_rules_above(self, touches: frozenset[str]) -> set[str]:
        """What an edit touches, and the rules from which that is made."""
        found, waiting = set(), list(touches)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.above.get(name, [])
        return found

    def attempt(self, batch: list[Single], number: int) -> list[dict[str, Any]]:
        """Make the edits, build, verify; edits of a refused build are tried one by one, a refused one is taken back."""
        begun, settings, before = time.monotonic(), self.settings, computed(self.folder)
        kept = self.repository.snapshot()
        made, rows = self._applied(batch, number)
        if not made:
            return rows
        status, text = self.build()
        if status or not self.report.exists():
            self.settings = settings
            self.repository.return_to(kept)
            if len(made) > 1:
                half = len(made) // 2
                singles = [single for single, _ in made]
                return rows + self.attempt(singles[:half], number) + self.attempt(singles[half:], number)
            row = {**_row(*made[0]), "result": "refused", "error": last_error(text)}
            again, text = self.build()
            row |= {} if again == 0 else {"result": "different", "error": f"not repaired: {last_error(text)}"}
            return [*rows, {**row, "seconds": round(time.monotonic() - begun, 1)}]
        report = json.loads(self.report.read_text())
        ran, same = jobs_between(before, computed(self.folder))
        # Steps that resolve a configuration are real: equal outputs do not say that they had no reason.
        same = {job for job in same if job.split(" ")[0] not in REAL}
        found = [_judged(single, text, report) for single, text in made]
        # Jobs are counted once, with the first edit that touches their rule.
        for job in sorted(ran):
            rule = job.split(" ")[0]
            row = next((r for r, (s, _) in zip(found, made, strict=True) if rule in s.touches), found[0])
            row["jobs"] += 1
            row["needless"] += [job] if job in same else []
        if report["stale"]:
            self._repair(report["stale"])
        seconds = round((time.monotonic() - begun) / len(made), 1)
        return rows + [{**row, "seconds": seconds, "together": len(made)} for row in found]

    def _applied(self, batch: list[Single], number: int) -> tuple[list[tuple[Single, str]], list[dict[str, Any]]]:
        """The edits that were made, and rows of those that cannot be or whose configuration is refused."""
        made, rows = [], []
        for single in batch:
            settings = self.settings
            text = single.apply(self, number)
            error = refusal(self.settings) if text is not None and single.kind == "field" else ""
            if text is None or error:
                self.settings = settings
                facts = {"result": "refused", "error": error[:300]} if error else {"result": "nothing"}
                rows.append({**_row(single, text or ""), **facts})
            else:
                made.append((single, text))
        return made, rows

    def _repair(self, stale: dict[str, Any]) -> None:
        """Stale outputs are deleted, so that the next edits begin with a correct state."""
        for name in stale:
            for path in (self.folder / name, self.folder / f"results/.made/{name}.json"):
                path.unlink(missing_ok=True)
        self.build()

    def compare_clean(self) -> list[str]:
        """A clean build of the present state beside the incremental one: the outputs that differ."""
        there = self.folder.parent / "clean"
        shutil.rmtree(there, ignore_errors=True)
        there.mkdir()
        shutil.copy(self.folder / "settings.yaml", there)
        done = self.workflow.run(there, "--notemp")
        assert done.status == 0, done.text[-2000:]
        outputs = json.loads(self.report.read_text())["jobs"]
        return [p for p in outputs if (there / p).is_file() and _bytes(there / p) != _bytes(self.folder / p)]


def _row(single: Single, text: str) -> dict[str, Any]:
    return {"kind": f"stub {single.kind}", "name": single.name, "edit": text}


def _judged(single: Single, text: str, report: dict[str, Any]) -> dict[str, Any]:
    """The row of one edit; a stale output counts where the edit touches its rule, for options and comments always."""
    rules = {report["jobs"].get(name, "") for name in report["stale"]}
    stale = report["stale"] if single.kind in ("field", "comment") or rules & single.touches else {}
    result = "different" if stale else "equal"
    first = dict(list(stale.items())[:5])
    return {**_row(single, text), "result": result, "stale": first, "n_stale": len(stale), "jobs": 0, "needless": []}


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _field(path: tuple[str, ...], value: Any) -> Callable[[Singles, int], str | None]:
    def apply(place: Singles, number: int) -> str | None:
        if value is MISSING:
            return None
        place.settings = edits.put(place.settings, path, value)
        return f"{'.'.join(path)}: {value!r}"

    return apply


def _literal(kind: str, file: str) -> Callable[[Singles, int], str | None]:
    def apply(place: Singles, number: int) -> str | None:
        found = [p for p in edits.places(place.repository, file) if p.kind == kind]
        # A changed number in a module that planning uses too may break planning; a new name cannot.
        if found and (kind == "default" or edits.is_touched(file)):
            chosen = random.Random(f"{place.seed} {file} {kind}").choice(found)
            chosen.apply(place.repository)
            return str(chosen)
        return edits.append(place.repository, file, number) if kind == "constant" else None

    return apply


def _append(file: str) -> Callable[[Singles, int], str | None]:
    return lambda place, number: edits.append(place.repository, file, number)


def _comment(file: str) -> Callable[[Singles, int], str | None]:
    return lambda place, number: edits.comment(place.repository, file, number)
