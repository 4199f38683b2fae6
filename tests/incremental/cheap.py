"""`track_code: cheap`: weights stay although code, defaults or inputs have changed, and each difference is named.

In four places: the facts of the encoder, `tsp status`, the table with the run, and the page.
"""

import html
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from incremental import edits, recording
from incremental.common import last_error
from incremental.sequences import Sequences
from incremental.sources import annotation_row

from tsp.config.load import merge, read_folder, run_entry

RUN = "mini_tsp"
# Where options and code of training are; most modules of the encoder and of its training have few literals.
OPTIONS = {"RunConfig": "src/tsp/pretrain/config.py", "TrainerConfig": "src/tsp/training/config.py"}


def attempt(place: Sequences, number: int) -> dict[str, Any]:
    """One edit of code, of a default, or of the annotations; a build; a look at the four places."""
    chances = random.Random(f"cheap {place.seed} {number}")
    begun = time.monotonic()
    place.repository.restore()
    folder = place.folder / "try"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["cp", "-a", str(place.base), str(folder)], check=True)
    settings = folder / "settings.yaml"
    tracked = {"runs": {run: {"track_code": "cheap"} for run in ("mini_start", RUN)}}
    settings.write_text(yaml.safe_dump(merge(yaml.safe_load(settings.read_text()), tracked)))
    weights = _weights(folder)
    kind = chances.choice(["code", "default", "input"])
    text, expected = {"code": _code, "default": _default, "input": _input}[kind](place, chances, folder)
    row: dict[str, Any] = {"kind": f"cheap {kind}", "number": number, "edit": text, "expected": expected}
    status, output, _ = place.incremental(folder)
    if status:
        row |= {"result": "refused", "error": last_error(output)}
    else:
        wrong = [name for name, shown in _places(place, folder).items() if expected not in shown]
        wrong += ["weights changed"] * (_weights(folder) != weights)
        row |= {"result": "different" if wrong else "equal", "files": wrong}
    return {**row, "seconds": round(time.monotonic() - begun, 1)}


def _weights(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.glob("results/pretrain/*/encoder.safetensors")}


def _places(place: Sequences, folder: Path) -> dict[str, str]:
    """The text of the four places."""
    facts = json.loads((folder / f"results/pretrain/{RUN}/encoder.json").read_text())
    root = place.repository.folder
    command = [sys.executable, "-c", "from tsp.cli import main; main()", "status", "--"]
    command += ["--configfile", "settings.yaml", "--workflow-profile", str(root / "profiles/default")]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(root / "src")}, capture_output=True, text=True, check=False
    )
    return {
        "encoder.json": "\n".join(facts.get("outdated", [])),
        "tsp status": done.stdout + done.stderr,
        "table": (folder / "results/tables/edited.md").read_text(),
        "page": html.unescape((folder / "results/report/index.html").read_text()),
    }


def _code(place: Sequences, chances: random.Random, folder: Path) -> tuple[str, str]:
    """Another number in a module that the training imports."""
    record = recording.record_for("pretrain", {"run": RUN}, json.loads(place.closures.read_text()))
    assert record is not None
    names = [m for m in record["modules"] if m.startswith(("tsp.pretrain.", "tsp.training.", "tsp.encoders."))]
    names = [name for name in names if not name.endswith(".config")]
    name = chances.choice(names)
    file = f"src/{name.replace('.', '/')}.py"
    found = [p for p in edits.places(place.repository, file) if p.kind == "constant"]
    if not found:
        return edits.append(place.repository, file, chances.randrange(10**6)), f"code of {name}"
    chosen = chances.choice(found)
    chosen.apply(place.repository)
    return str(chosen), f"code of {name}"


def _default(place: Sequences, chances: random.Random, folder: Path) -> tuple[str, str]:
    """Another default of an option of the run that neither the configuration files nor the overlay state."""
    values, _ = read_folder(place.repository.folder / "config", [folder / "settings.yaml"], "demo")
    written = run_entry(values, RUN)
    stated = {*written, *written["trainer"]}
    found = [p for file in OPTIONS.values() for p in edits.places(place.repository, file) if p.kind == "default"]
    free = [p for p in found if p.name.split(".")[0] in OPTIONS and p.name.split(".")[1] not in stated]
    chosen = chances.choice(free)
    chosen.apply(place.repository)
    return str(chosen), chosen.name.split(".")[1]


def _input(place: Sequences, chances: random.Random, folder: Path) -> tuple[str, str]:
    """Another annotation of the training subset."""
    path = folder / "annotations.json"
    before = path.read_text()
    for _ in range(50):
        text = annotation_row(chances, folder)
        name = str(text).rpartition(" in ")[2]
        if json.loads(before)["database"][name]["subset"] == "training":
            return str(text), "input results/synthetic/segments/train.csv"
        path.write_text(before)
    raise AssertionError("no annotation of the training subset was drawn")
