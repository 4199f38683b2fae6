"""A training killed under one configuration and started again under another."""

import json
import os
import signal
import time

import pytest

RUN = "results/pretrain/mini_start"
OVERLAY = """
datasets:
  synthetic_trimmed:
    generate: {{n_train: 10, n_valid: 5}}
runs:
  mini_start: {{trainer: {{epochs: 3, milestones: [1], checkpoint_every: 1, weight_decay: {decay}}}}}
"""


@pytest.fixture(scope="module")
def killed(start_snakemake, tmp_path_factory):
    """A folder whose training was killed with its Snakemake after the first checkpoint."""
    folder = tmp_path_factory.mktemp("killed")
    for name, decay in {"old": 0.0, "new": 0.125}.items():
        (folder / f"{name}.yaml").write_text(OVERLAY.format(decay=decay))
    process = start_snakemake(folder, *arguments(folder, "old"))
    while process.poll() is None and not (folder / RUN / "work/state.pt").exists():
        time.sleep(0.02)
    assert process.poll() is None, "the training ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return folder


def arguments(folder, name, *more):
    return ("--configfile", folder / f"{name}.yaml", *more, "--", f"{RUN}/encoder.safetensors")


def test_other_settings_stop_with_one_line_and_are_resumed_on_request(snakemake, killed):
    done = snakemake(killed, *arguments(killed, "new"))
    assert done.returncode
    line = next(line for line in done.stderr.splitlines() if "pretrain: error: " in line)
    assert "settings.run.trainer.weight_decay (0.0, now 0.125); delete results/pretrain/mini_start/work" in line
    assert (killed / RUN / "work/state.pt").exists()

    done = snakemake(killed, *arguments(killed, "new", "--config", "resume=anyway"))
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads((killed / RUN / "encoder.json").read_text())
    assert facts["resumed"] == ["settings.run.trainer.weight_decay (0.0, now 0.125)"]
    record = json.loads((killed / f"results/.made/{RUN}/encoder.safetensors.json").read_text())
    assert record["overrides"] == facts["resumed"]
    # The override is no setting of any job.
    done = snakemake(killed, "--dry-run", *arguments(killed, "new"))
    assert "Nothing to be done" in done.stdout + done.stderr
