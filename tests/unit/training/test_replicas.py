"""A run of several replicas is the same on one device and on several, and as released where it says so."""

import copy
import dataclasses

import pytest
import torch
from torch.nn import functional as F
from unit.training.toy import Classify, Points, Sparse, one_process

from tsp.errors import TspError
from tsp.training import distributed
from tsp.training.config import TrainerConfig
from tsp.training.distributed import launch
from tsp.training.fit import fit
from tsp.training.seeds import torch_rng

# 45 items in batches of 2 x 4: 6 steps an epoch, 24 in all; the last batch of an epoch has 3 and 2 items.
CONFIG = TrainerConfig(epochs=4, batch_size=4, replicas=2, log_every=5, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("mean", ["global", "replica"])
@pytest.mark.parametrize("size", [45, 44])
def test_one_process_that_plays_two_replicas_equals_two_processes(tmp_path, mean, size):
    config = dataclasses.replace(CONFIG, loss_mean=mean)
    for world in (1, 2):
        launch(one_process, world, (str(tmp_path / str(world)), Sparse(size), config, "norm"))
    one, two = (torch.load(tmp_path / str(world) / "result.pt") for world in (1, 2))
    for name in one["state"]:
        torch.testing.assert_close(two["state"][name], one["state"][name], rtol=1e-6, atol=1e-7)
    for a, b in zip(one["history"], two["history"], strict=True):
        assert a == pytest.approx(b, rel=1e-6)


def released(data, config):
    """The released recipe, written out: a model per GPU, each with its own loss mean and batch norm; mean gradients."""
    first = Classify(plain="norm").model
    models = [first, copy.deepcopy(first)]
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=config.momentum) for m in models]
    for epoch in range(config.epochs):
        order = torch.randperm(len(data), generator=torch_rng(config.seed, epoch)).tolist()
        order += order[: -len(order) % 2]
        mine = [order[rank::2] for rank in range(2)]
        for at in range(0, len(mine[0]), config.batch_size):
            for model, optimizer, items in zip(models, optimizers, mine, strict=True):
                rows = [data[i] for i in items[at : at + config.batch_size]]
                x, label = torch.stack([row[0] for row in rows]), torch.tensor([row[1] for row in rows])
                logits = model.train()(x)
                loss = 0.01 * logits.square().sum() / len(x)
                if (label >= 0).any():  # as released NaN
                    loss = loss + F.cross_entropy(logits, label, ignore_index=-1)
                optimizer.zero_grad()
                loss.backward()
            for a, b in zip(*(model.parameters() for model in models), strict=True):
                a.grad = b.grad = (a.grad + b.grad) / 2
            for optimizer in optimizers:
                optimizer.step()
    return first.state_dict()


@pytest.mark.parametrize("size", [45, 44, 46])
def test_forty_steps_of_the_released_recipe(tmp_path, size):
    config = dataclasses.replace(CONFIG, epochs=7, loss_mean="replica")
    data = Sparse(size, noise=0.0)
    expected = released(data, config)
    found = fit(Classify(plain="norm"), data, None, config, tmp_path, device="cpu").state
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


def test_the_mean_over_the_global_batch_is_another_experiment(tmp_path):
    states = [
        fit(
            Classify(plain="norm"), Sparse(45), None, dataclasses.replace(CONFIG, loss_mean=mean), tmp_path / mean
        ).state
        for mean in ("global", "replica")
    ]
    assert not torch.allclose(states[0]["0.weight"], states[1]["0.weight"], atol=1e-4)


def test_devices_that_do_not_divide_the_replicas_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    config = dataclasses.replace(CONFIG, replicas=6)
    with pytest.raises(TspError, match=r"4 devices cannot share 6 replicas; use 1, 2, 3, 6, or set trainer\.replicas"):
        fit(Classify(), Points(), None, config, tmp_path, device="cpu")


def test_the_running_statistics_are_those_of_the_first_replica(tmp_path):
    """One epoch of one step: with momentum 1 they are the statistics of that replica's items."""
    config = dataclasses.replace(CONFIG, epochs=1, batch_size=8)
    task, data = Classify(plain="norm"), Points(16, noise=0.0)
    task.model[1].momentum = 1.0
    order = torch.randperm(16, generator=torch_rng(config.seed, 0)).tolist()
    with torch.no_grad():
        seen = task.model[0](torch.stack([data[i][0] for i in order[::2]]))
    state = fit(task, data, None, config, tmp_path, device="cpu").state
    torch.testing.assert_close(state["1.running_mean"], seen.mean(0))
    assert state["1.num_batches_tracked"] == 1
