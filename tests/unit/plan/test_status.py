"""`tsp status`: jobs from a dry run, running steps from locks, costs from measurements."""

import fcntl

import pytest
from unit.plan.results_tree import Tree

from tsp.cli import main
from tsp.errors import TspError
from tsp.plan.status import Stage, is_running, jobs_of, planned, stages, table

DRY = """[Mon Nov 23 13:16:00 2026]
rule pretrain:
    input: a
    output: b
    reason: Missing output files: b
    wildcards: run=x
localrule resolve_run:
    reason: Params have changed since last execution
rule pretrain:
    reason: Input files updated by another job: a
rule table_x:
    reason: Input files updated by another job: b
"""


def test_jobs_are_summed_by_rule(tmp_path):
    (tmp_path / "pretrain").mkdir()
    for number, seconds in enumerate((100, 300, 200)):
        (tmp_path / f"pretrain/{number}.tsv").write_text(f"s\th:m:s\n{seconds}\t0:01:00\n")
    (tmp_path / "probe").mkdir()
    found = stages(jobs_of(DRY), tmp_path)
    assert found == [
        Stage(rule="pretrain", done=1, missing=2, stale=0, running=0, seconds=200.0),
        Stage(rule="resolve_run", done=0, missing=0, stale=1, running=0, seconds=None),
        Stage(rule="probe", done=0, missing=0, stale=0, running=0, seconds=None),
    ]
    text = table(found).splitlines()
    assert text[1].split() == ["pretrain", "1", "0", "2", "0", "3.3", "min", "6.7", "min"]
    assert text[-1] == "left: 3 jobs, 6.7 min one after another, and 1 jobs never measured here"


def test_a_held_lock_is_a_running_step(tmp_path):
    log = tmp_path / "a.log"
    with log.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_running(log)
    assert not is_running(log)


def test_the_embedded_miniature(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:5] == ["pretrain", "0", "0", "3", "0"] for line in lines)
    assert lines[-1].startswith("left: ")


def test_differences_follow_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = {"/none/a.mp4": {"sha256": "ab"}}
    wildcards = {"dataset": "d", "subset": "train"}
    Tree(tmp_path).output("results/x.csv", "download", sources=source, wildcards=wildcards, tools={})
    assert main(["status", "--", "results/synthetic/origin/annotations.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3].startswith("left: 1 jobs")
    assert lines[-2:] == ["sources that have changed since they were read:", "  /none/a.mp4 (d/train): missing"]


def test_what_snakemake_refuses_is_an_error(tmp_path, monkeypatch, repository):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TspError, match="no_such_target"):
        planned(repository / "Snakefile", ["no_such_target"])
