"""Code versions, and what a step does with errors and with an orphaned predecessor."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tsp import steps
from tsp.errors import TspError


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A small `tsp` package: a imports b imports c; d stands alone."""
    package = tmp_path / "tsp"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from tsp.b import f\n")
    (package / "b.py").write_text("from tsp import c\n\ndef f():\n    return c.X\n")
    (package / "c.py").write_text("X = 1\n")
    (package / "d.py").write_text("Y = 1\n")
    monkeypatch.setattr(steps, "SOURCE", tmp_path)
    forget()
    yield package
    monkeypatch.undo()
    forget()


def forget():
    for cached in (steps.code_version, steps._path, steps._module):
        cached.cache_clear()


def version():
    forget()
    return steps.code_version("tsp.a")


def test_an_edit_two_imports_deep_changes_the_version(library):
    before = version()
    (library / "c.py").write_text("X = 2\n")
    assert version() != before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("d.py", "Y = 2\n"),
        ("c.py", "# why\nX = 1\n"),
        ("b.py", '"""Doc."""\nfrom tsp import c\n\ndef f():\n    "Doc."\n    return c.X\n'),
    ],
)
def test_comments_docstrings_and_unrelated_modules_change_nothing(library, file, text):
    before = version()
    (library / file).write_text(text)
    assert version() == before


def job(tmp_path):
    return SimpleNamespace(log=[str(tmp_path / "logs" / "x.log")], rule="x")


def test_a_user_error_is_one_line_and_exit_status_1(tmp_path, capsys):
    def main(job):
        raise TspError("a.csv: row 3: fps is 'x', expected a number")

    with pytest.raises(SystemExit) as stop:
        steps.run_step(main, job(tmp_path))
    assert stop.value.code == 1
    text = (tmp_path / "logs" / "x.log").read_text()
    assert "x: error: a.csv: row 3" in text
    assert "Traceback" not in text
    assert "a.csv: row 3" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(tmp_path):
    def main(job):
        return {}["missing"]

    with pytest.raises(KeyError):
        steps.run_step(main, job(tmp_path))
    assert "Traceback" in (tmp_path / "logs" / "x.log").read_text()


def test_a_damaged_input_stops_the_step_and_a_new_output_is_trusted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def make(job):
        (tmp_path / job.output[0]).write_text("1")

    first = SimpleNamespace(log=["logs/a.log"], rule="a", input=[], output=["a.txt"])
    second = SimpleNamespace(log=["logs/b.log"], rule="b", input=["a.txt"], output=["b.txt"])
    steps.run_step(make, first)
    steps.run_step(make, second)
    (tmp_path / "a.txt").write_text("2")
    with pytest.raises(SystemExit):
        steps.run_step(make, second)
    assert "b: error: a.txt: not what its step wrote" in capsys.readouterr().err
    steps.run_step(make, first)
    steps.run_step(make, second)


def test_an_input_from_the_future_is_dated_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, age in {"new.txt": -5000, "old.txt": 5000}.items():
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    inputs = ["new.txt", "old.txt", "absent.txt"]
    steps.run_step(lambda job: None, SimpleNamespace(log=["logs/a.log"], rule="a", input=inputs, output=[]))
    assert (tmp_path / "new.txt").stat().st_mtime <= time.time()
    assert time.time() - (tmp_path / "old.txt").stat().st_mtime > 4000
    assert "new.txt was written 50" in (tmp_path / "logs/a.log").read_text()


def test_a_step_waits_for_its_orphaned_predecessor(tmp_path):
    log = tmp_path / "logs" / "x.log"
    log.parent.mkdir()
    hold = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'a');"
        "fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); time.sleep(0.4)"
    )
    orphan = subprocess.Popen([sys.executable, "-c", hold, str(log)], stdout=subprocess.PIPE)
    orphan.stdout.readline()
    start = time.monotonic()
    steps.run_step(lambda job: None, job(tmp_path))
    assert orphan.wait() == 0
    assert time.monotonic() - start > 0.2
    assert "waiting" in log.read_text()
