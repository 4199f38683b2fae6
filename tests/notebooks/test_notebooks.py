"""Every notebook runs from its first cell to its last in an empty place, and is stored without outputs."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest

NOTEBOOKS = ("features_to_map", "temporal_sensitivity")
LIMIT_S = 600


def read(repository, name):
    path = repository / "notebooks" / f"{name}.ipynb"
    nbformat.validate(nbformat.read(path, as_version=4))
    return json.loads(path.read_text())


def test_every_notebook_is_run_here(repository):
    assert sorted(path.stem for path in (repository / "notebooks").glob("*.ipynb")) == sorted(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_output_is_stored(repository, name):
    for cell in read(repository, name)["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs(repository, tmp_path, name):
    """In a process of its own; the notebooks use no magics, so Python alone will do."""
    cells = [cell for cell in read(repository, name)["cells"] if cell["cell_type"] == "code"]
    script = tmp_path / "notebooks" / "all_cells.py"
    script.parent.mkdir()
    script.write_text("\n\n".join("".join(cell["source"]) for cell in cells))
    (tmp_path / "src").symlink_to(repository / "src")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"MPLBACKEND": "Agg"}
    environment |= {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", script],
        cwd=script.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert {"features_to_map": "average mAP", "temporal_sensitivity": "stand-ins"}[name] in done.stdout


def test_temporal_sensitivity_reads_the_miniature(repository, tmp_path):
    """The other way through the notebook: files where `make demo` leaves them."""
    cells = [cell for cell in read(repository, "temporal_sensitivity")["cells"] if cell["cell_type"] == "code"]
    texts = ["".join(cell["source"]) for cell in cells]
    stand_in = next(text for text in texts if text.startswith("if stand_in:"))
    script = tmp_path / "notebooks" / "all_cells.py"
    script.parent.mkdir()
    (tmp_path / "src").symlink_to(repository / "src")
    # The stand-ins of a first run serve as the miniature of a second.
    keep = [texts[0], stand_in, "import json; print(json.dumps([str(annotations), *map(str, paths.values())]))"]
    script.write_text("\n\n".join(keep))
    call = {"cwd": script.parent, "capture_output": True, "text": True, "timeout": LIMIT_S}
    call["env"] = os.environ | {"MPLBACKEND": "Agg", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, script], **call)
    assert done.returncode == 0, done.stderr[-2000:]
    made = json.loads(done.stdout.splitlines()[-1])
    places = ["synthetic/annotations.json", *(f"features/mini_{n}/stride8/synthetic-valid.h5" for n in ("tac", "tsp"))]
    for source, place in zip(made, places, strict=True):
        target = tmp_path / "results" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    script.write_text("\n\n".join(texts))
    done = subprocess.run([sys.executable, script], **call)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "features of the miniature" in done.stdout
