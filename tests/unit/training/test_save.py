"""The files of a finished training, also where writing them is interrupted."""

import json

import pytest
import torch

from tsp.encoders.weights import load_state
from tsp.training import save
from tsp.training.checkpoint import BEST, LOG, STATE
from tsp.training.save import save_trained
from tsp.training.task import FitResult

RESULT = FitResult(best_value=1.0, best_epoch=0, state={"w": torch.arange(3.0)})


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    for name in (STATE, BEST, LOG):
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("log", [None, "captioner.jsonl"])
def test_weights_facts_and_log_are_written_and_checkpoints_removed(tmp_path, work, log):
    weights = tmp_path / "captioner.safetensors"
    save_trained(weights, RESULT, {"seed": 3}, work, log=log and tmp_path / log)
    assert torch.equal(load_state(weights)["w"], RESULT.state["w"])
    assert json.loads((tmp_path / "captioner.json").read_text())["seed"] == 3
    assert (tmp_path / (log or LOG)).read_text() == LOG
    assert [path.name for path in work.iterdir()] == [LOG]


def test_checkpoints_stay_until_the_weights_are_written(tmp_path, work, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(save, "save_encoder", full)
    with pytest.raises(OSError, match="disk full"):
        save_trained(tmp_path / "encoder.safetensors", RESULT, {}, work)
    assert (tmp_path / LOG).is_file() and (work / STATE).is_file() and (work / BEST).is_file()
