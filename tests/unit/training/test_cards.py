"""Every GPU has one owner at a time; here with cards that are pretended."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tsp.errors import TspError
from tsp.training import cards

# Claims cards, notes from when to when, and holds them for a while.
JOB = """
import json, sys, time
from pathlib import Path
from tsp.training import cards
cards.LOCKS = Path(sys.argv[1])
taken = cards.claim(int(sys.argv[2]))
begin = time.time()
print("claimed", *taken, flush=True)
time.sleep(float(sys.argv[3]))
print(json.dumps([cards._names(cards.count())[n] for n in taken] + [begin, time.time()]), flush=True)
"""


def start(folder, wanted, seconds, pretended=4, **environment):
    environment = os.environ | {cards.PRETENDED: str(pretended)} | environment
    call = [sys.executable, "-c", JOB, str(folder), str(wanted), str(seconds)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=environment)


def result(job):
    output, _ = job.communicate(timeout=120)
    assert job.returncode == 0
    *names, begin, end = json.loads(output.splitlines()[-1])
    return names, begin, end


@pytest.mark.slow
def test_eight_jobs_on_four_cards_never_share_one(tmp_path):
    jobs = [start(tmp_path, 2 if k in (2, 5) else 1, 0.5) for k in range(8)]
    done = [result(job) for job in jobs]
    assert {name for names, _, _ in done for name in names} == {"0", "1", "2", "3"}
    held = sorted((name, begin, end) for names, begin, end in done for name in names)
    assert len(held) == 10
    for (name, _, end), (other, begin, _) in itertools.pairwise(held):
        assert name != other or end <= begin


def test_a_killed_job_leaves_its_card_free(tmp_path):
    first = start(tmp_path, 1, 300, pretended=1)
    assert first.stdout.readline() == "claimed 0\n"
    second = start(tmp_path, 1, 0, pretended=1)
    time.sleep(2)
    assert second.poll() is None
    first.send_signal(signal.SIGKILL)
    assert result(second)[0] == ["0"]


def test_the_cards_are_those_that_the_job_may_see(tmp_path):
    """Two jobs of SLURM see their own card as number 0; a third one, without an assignment, takes another."""
    jobs = [start(tmp_path, 1, 300, CUDA_VISIBLE_DEVICES=seen) for seen in ("3", "1")]
    assert [job.stdout.readline() for job in jobs] == ["claimed 0\n"] * 2
    assert result(start(tmp_path, 2, 0))[0] == ["0", "2"]
    for job in jobs:
        job.kill()
        job.wait()


def test_more_cards_than_there_are_end_in_one_line(monkeypatch):
    monkeypatch.setenv(cards.PRETENDED, "2")
    with pytest.raises(TspError, match="3 GPUs are asked for, this job sees 2; lower the resource gpu"):
        cards.claim(3)


RANKS = """
import os, sys
from pathlib import Path
from tsp.training import cards, distributed
cards.LOCKS = Path(sys.argv[1])
from unit.training.owners import note
if __name__ == "__main__":
    distributed.launch(note, int(sys.argv[2]), (sys.argv[1],))
"""


@pytest.mark.slow
def test_a_run_of_two_cards_starts_two_ranks_with_a_card_each(tmp_path):
    (tmp_path / "job.py").write_text(RANKS)
    environment = os.environ | {cards.PRETENDED: "4", "PYTHONPATH": os.pathsep.join(sys.path)}
    call = [sys.executable, str(tmp_path / "job.py"), str(tmp_path), "2"]
    subprocess.run(call, check=True, env=environment, timeout=120)
    found = sorted(Path(tmp_path).glob("rank*"))
    assert [path.read_text() for path in found] == ["2 ranks, card 0, cpu", "2 ranks, card 1, cpu"]
