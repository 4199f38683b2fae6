import random
import sys
import types

import numpy as np
import pytest
import torch

from tsp.errors import TspError
from tsp.training import checkpoint, seeds
from tsp.training.config import TrainerConfig
from tsp.training.loader import EpochBatches, to_device
from tsp.training.logs import JsonLog, read_log
from tsp.training.optim import make_schedule

PAPER = TrainerConfig(schedule="warmup_steps", warmup_epochs=2, milestones=(4, 6))


def test_constant_schedule():
    factor = make_schedule(TrainerConfig(), 10)
    assert [factor(k) for k in (0, 5, 1000)] == [1, 1, 1]


def test_warmup_is_linear_and_steps_multiply():
    factor = make_schedule(PAPER, 10)
    assert factor(10) - factor(9) == pytest.approx(factor(3) - factor(2))
    assert [factor(k) for k in (20, 39, 40, 59, 60)] == pytest.approx([1, 1, 0.01, 0.01, 1e-4])


def test_steps_only_after_epochs():
    factor = make_schedule(TrainerConfig(schedule="warmup_steps", warmup_epochs=2, step_after_epoch=True), 10)
    assert factor(0) == factor(9) == pytest.approx(1e-5)
    assert factor(10) == factor(19) == pytest.approx(0.500005)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"accumulate": 0}, {"patience": 0}, {"milestones": (6, 4)}, {"batch_size": -1}]
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match="trainer: "):
        TrainerConfig(**wrong)


def ranks(size, batch_size, world, **options):
    made = []
    for rank in range(world):
        batches = EpochBatches(size, batch_size, replicas=world, **options)
        batches.own = range(rank, rank + 1)
        made.append(batches)
    return made


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 12, 13])
def test_ranks_share_every_item_once(size, world):
    made = ranks(size, 2, world, keys=(0, 1))
    assert {len(list(b)) for b in made} == {len(made[0])}
    seen = [i for b in made for n, items in enumerate(b) if not b.is_filler(n, b.own[0]) for i in items]
    assert sorted(seen) == list(range(size))
    validation = [i for b in ranks(size, 2, world) for items in b for i in items]
    assert sorted(validation) == list(range(size))


def test_global_batches_do_not_depend_on_the_ranks():
    (one,), two = ranks(24, 6, 1, keys=(0, 1)), ranks(24, 3, 2, keys=(0, 1))
    assert [set(b) for b in one] == [set(a) | set(b) for a, b in zip(*two, strict=True)]


@pytest.mark.parametrize("size", [1, 7, 12, 13])
def test_one_process_plays_the_batches_of_all_replicas(size):
    played = list(EpochBatches(size, 2, keys=(0, 1), replicas=3))
    shared = [batch for row in zip(*ranks(size, 2, 3, keys=(0, 1)), strict=True) for batch in row]
    assert played == shared


def test_padding_repeats_the_first_items_of_the_order():
    order = [i for batch in EpochBatches(7, 7, keys=(0, 1)) for i in batch]
    batches = EpochBatches(7, 2, keys=(0, 1), replicas=4, padded=True)
    expected = [[order[0], order[4]], [order[1], order[5]], [order[2], order[6]], [order[3], order[0]]]
    assert list(batches) == expected
    assert not any(batches.is_filler(0, r) for r in range(4))


def test_order_changes_with_the_epoch_and_skips_exactly():
    whole = list(EpochBatches(20, 3, keys=(0, 1)))
    assert whole != list(EpochBatches(20, 3, keys=(0, 2)))
    assert list(EpochBatches(20, 3, keys=(0, 1), skip=4)) == whole[4:]


def test_random_states_survive_a_file(tmp_path):
    device = torch.device("cpu")
    seeds.seed_everything(1)
    random.gauss(0, 1), np.random.normal()
    checkpoint.write(tmp_path / "s.pt", seeds.get_random_state(device))

    def draw():
        return random.random(), random.gauss(0, 1), np.random.normal(), torch.rand(1).item()

    expected = draw()
    assert draw() != expected
    seeds.set_random_state(checkpoint.read(tmp_path / "s.pt"), device)
    assert draw() == expected


def test_seeds_differ_by_rank_and_item():
    drawn = {seeds.item_rng(*key).random() for key in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]}
    assert len(drawn) == 4
    seeds.seed_everything(1, rank=0)
    first = torch.rand(1)
    seeds.seed_everything(1, rank=1)
    assert first != torch.rand(1)


def test_log_drops_what_a_resumed_run_makes_again(tmp_path):
    log = JsonLog(tmp_path / "log.jsonl")
    for iteration in (2, 4):
        log.write({"iteration": iteration, "epoch": 0, "lr": {}})
    log.write({"iteration": 4, "epoch": 0})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"iteration": 5, "ep')
    JsonLog(tmp_path / "log.jsonl", 4, 0)
    assert [r["iteration"] for r in read_log(tmp_path / "log.jsonl")] == [2, 4]
    JsonLog(tmp_path / "log.jsonl")
    assert read_log(tmp_path / "log.jsonl") == []


def test_numbers_go_to_tensorboard_too(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder, purge_step):
            written.append((folder.name, purge_step))

        def add_scalar(self, *point):
            written.append(point)

        def flush(self):
            pass

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    log = JsonLog(tmp_path / "log.jsonl", tensorboard=True)
    log.write({"iteration": 3, "epoch": 0, "lr": {"heads": 0.5}, "train/action": 0.25})
    assert written == [("tensorboard", None), ("train/action", 0.25, 3), ("lr/heads", 0.5, 3)]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TspError, match="pip install tensorboard"):
        JsonLog(tmp_path / "log.jsonl", tensorboard=True)


def test_nested_batches_are_moved():
    clips = torch.zeros(1, 3, 2, 4, 4)
    moved = to_device({"a": [clips, (clips.long(), "name")]}, torch.device("meta"))
    assert moved["a"][0].is_meta and moved["a"][1][0].is_meta
    assert moved["a"][1][1] == "name" and moved["a"][0].shape == clips.shape
