"""What a step does with errors and with an orphaned predecessor."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tsp import steps
from tsp.errors import TspError


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
    assert "b: error: a.txt: differs from what its step wrote" in capsys.readouterr().err
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
