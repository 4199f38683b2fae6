"""What a step does with errors, with an orphaned predecessor, and with outputs that exist already."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from tsp import steps
from tsp.errors import TspError
from tsp.io import records
from tsp.io.files import read_json, sha256, write_json


class Named(list):
    """Files with names, as Snakemake gives them."""

    def __init__(self, **named):
        super().__init__(named.values())
        self.__dict__.update(named)


def job(tmp_path, rule="x", *, input=(), output=(), params=None, wildcards=None):
    return SimpleNamespace(
        log=[str(tmp_path / "logs" / f"{rule}.log")],
        rule=rule,
        input=input,
        output=output,
        params=params or {},
        wildcards=wildcards or {},
    )


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

    first = job(tmp_path, "a", output=["a.txt"])
    second = job(tmp_path, "b", input=["a.txt"], output=["b.txt"])
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
    steps.run_step(lambda job: None, job(tmp_path, "a", input=inputs))
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


@dataclass(frozen=True, kw_only=True)
class Options:
    lr: float = 0.1
    decay: float = 0.0


@pytest.fixture
def training(tmp_path, monkeypatch):
    """Run a step that counts its runs and writes its settings; `training(params...)` gives the number of runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("input")
    (tmp_path / "results").mkdir()
    runs = []

    def main(job):
        runs.append(dict(job.params))
        Path(job.output.weights).write_text(f"weights of run {len(runs)}")
        write_json(job.output.facts, {"run": len(runs)})

    def train(*, code="1", track="all", written=0, settings=None, wildcards=None, pure=True):
        output = Named(weights="results/w.txt", facts="results/w.json")
        params = {"code": code, "track_code": track, "written": written, "settings": settings or {"lr": 0.1}}
        done = job(tmp_path, "train", input=["in.txt"], output=output, params=params, wildcards=wildcards)
        # Snakemake deletes the outputs of a job before it runs.
        for path in output:
            Path(path).unlink(missing_ok=True)
        steps.run_step(main, done, options={"settings": Options}, pure=pure)
        return len(runs)

    return train


def weights():
    return Path("results/w.txt").read_text()


def test_equal_code_settings_and_inputs_keep_the_outputs(training):
    assert [training(), training(), training()] == [1, 1, 1]
    assert weights() == "weights of run 1"
    record = records.read("results/w.txt")
    assert record["kept"]
    assert record["inputs"] == {"in.txt": sha256("in.txt")}


@pytest.mark.parametrize(
    "change", [{"code": "2"}, {"written": 1}, {"settings": {"lr": 0.2}}, {"wildcards": {"seed": "1"}}, {"pure": False}]
)
def test_what_differs_is_computed(training, change):
    training()
    assert training(**change) == 2
    assert weights() == "weights of run 2"


def test_another_input_is_computed(training):
    training()
    Path("in.txt").write_text("other")
    assert training() == 2


def test_a_new_option_with_its_default_changes_nothing_until_its_default_does(training):
    training(settings={"lr": 0.1})
    assert training(settings={"lr": 0.1, "decay": 0.0}) == 1
    # The record has the option now.
    assert training(settings={"lr": 0.1, "decay": 0.5}) == 2


def test_damaged_records_of_outputs_are_computed(training):
    training()
    records.record_path("results/w.txt").write_text("{}")
    assert training() == 2


def test_untracked_code_changes_nothing(training):
    training(track="cheap", code="1")
    assert training(track="none", code="untracked") == 1
    assert training(track="none", code="untracked", settings={"lr": 0.3}) == 2


def test_outputs_without_links_are_computed(training):
    training()
    shutil.rmtree(records.KEPT)
    assert training() == 2


def test_a_failed_step_leaves_no_record(training, tmp_path, monkeypatch):
    training()
    output = Named(weights="results/w.txt", facts="results/w.json")
    failing = job(tmp_path, "train", input=["in.txt"], output=output, params={"code": "2"})
    with pytest.raises(ZeroDivisionError):
        steps.run_step(lambda job: 1 / 0, failing)
    assert records.read("results/w.txt") is None


def test_cheap_tracking_keeps_weights_and_names_what_is_outdated(training):
    training(track="cheap")
    settings = {"lr": 0.3}
    assert training(track="cheap", code="2", settings=settings) == 1
    assert weights() == "weights of run 1"
    found = read_json("results/w.json")
    assert found == {"run": 1, "outdated": ["code of the step", "settings.lr (0.1, now 0.3)"]}
    assert records.read("results/w.txt")["outdated"] == found["outdated"]
    # The record is still that of the weights: without the edit they are up to date.
    assert training(track="cheap") == 1
    assert read_json("results/w.json") == {"run": 1}
    assert not records.read("results/w.txt").get("outdated")


def test_cheap_tracking_trains_again_for_what_the_user_wrote_and_on_request(training):
    training(track="cheap")
    assert training(track="cheap", written=1) == 2
    assert training(track="cheap", written=1, code="2") == 2
    assert training(track="all", written=1, code="2") == 3


def test_a_resolved_configuration_keeps_its_text_for_a_new_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def resolve(code, **settings):
        def main(job):
            write_json(job.output[0], settings)
            return {"resolved": settings, "defaults": {"lr": 0.1, "decay": settings.get("decay", 0.0)}}

        steps.run_step(main, job(tmp_path, "resolve", output=["results/c.json"], params={"code": code}))
        return read_json("results/c.json")

    assert resolve("1", lr=0.1) == {"lr": 0.1}
    assert resolve("2", lr=0.1, decay=0.0) == {"lr": 0.1}
    assert records.read("results/c.json")["resolved"] == {"lr": 0.1, "decay": 0.0}
    # The default changed after the option was seen.
    assert resolve("3", lr=0.1, decay=0.5) == {"lr": 0.1, "decay": 0.5}
