"""kill -9 in the middle, the same command again: the same table, bit for bit."""

import os
import signal
import time
from pathlib import Path

import pytest

from tsp.io.files import sha256

# One run, one method, one table, as in the fault campaign.
SMALL = [Path(__file__).parents[1] / "faults" / name for name in ("small.yaml", "short.yaml")]
TABLE = "results/tables/faults.csv"
ARGUMENTS = ("--configfile", *SMALL, "--", TABLE)
# What the promise is about: weights, features, predictions, table.
PROMISED = [
    "results/pretrain/mini_tsp/encoder.safetensors",
    "results/features/mini_tsp/stride8/synthetic-valid.h5",
    "results/experiments/gtad_synthetic/mini_tsp/seed0/predictions.json",
    TABLE,
]


def digests(folder):
    return {name: sha256(folder / name) for name in PROMISED}


@pytest.fixture(scope="module")
def undisturbed(snakemake, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    done = snakemake(folder, *ARGUMENTS)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def kill_when(start, folder, seen, *, whole_group):
    """Start the workflow and kill it as soon as `seen()`; False: it was over before."""
    process = start(folder, *ARGUMENTS)
    try:
        while process.poll() is None:
            if seen():
                os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
                process.wait()
                return True
            time.sleep(0.02)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return False


def test_killed_twice(snakemake, start_snakemake, undisturbed, tmp_path):
    training = tmp_path / "results/pretrain/mini_tsp"
    # Snakemake alone dies: its training step is an orphan that the next run must not meet in the work folder.
    assert kill_when(start_snakemake, tmp_path, lambda: any((training / "work").glob("*")), whole_group=False)
    assert not (training / "encoder.safetensors").exists()

    # Snakemake and all its steps die while features are written.
    extraction = tmp_path / "results/features/mini_tsp/stride8"
    assert kill_when(start_snakemake, tmp_path, lambda: any(extraction.rglob("*.h5")), whole_group=True)
    assert not (extraction / "synthetic-valid.h5").exists()

    done = snakemake(tmp_path, *ARGUMENTS)
    assert done.returncode == 0, done.stderr[-3000:]
    assert digests(tmp_path) == digests(undisturbed)


def test_nothing_is_left_to_do(snakemake, undisturbed):
    done = snakemake(undisturbed, "--dry-run", *ARGUMENTS)
    assert "Nothing to be done" in done.stdout + done.stderr
