"""Under bfloat16 the losses are those of float32, and a confident mistake keeps its gradient."""

import numpy as np
import pytest
import torch
from unit.localise.make import SMALL, SMALL_BMN

from tsp.localise import bmn, gtad
from tsp.localise.pgcn.method import Config, Pgcn, PgcnTask

METHODS = {"gtad": (SMALL, gtad.Gtad, gtad.GtadTask, gtad), "bmn": (SMALL_BMN, bmn.Bmn, bmn.BmnTask, bmn)}


def batch_of(config, module, segments):
    rows = [module.targets(np.asarray(found, dtype=float).reshape(-1, 2), config) for found in segments]
    maps = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    generator = torch.Generator().manual_seed(0)
    return {"features": torch.randn(len(rows), 8, config.length, generator=generator), **maps}


def last_layer(model, method):
    return model.map[-1] if method == "gtad" else [m for m in model.map if isinstance(m, torch.nn.Conv2d)][-1]


@pytest.mark.parametrize("method", METHODS)
def test_losses_and_gradients_of_map_methods(method):
    config, network, make_task, module = METHODS[method]
    batch, losses = batch_of(config, module, [[[0.1, 0.6]], [[0.3, 0.9], [0.0, 0.2]]]), []
    for amp in (False, True):
        torch.manual_seed(0)
        task = make_task(network(8, config), config)
        torch.manual_seed(1)  # the cells that the regression draws
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            terms = task.losses(batch)
        sum(terms.values()).backward()
        assert all(torch.isfinite(p.grad).all() for p in task.model.parameters() if p.grad is not None)
        losses.append({name: float(value.detach()) for name, value in terms.items()})
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_a_confident_mistake_keeps_its_gradient(method):
    """All cells are at p = 0.9991 and none is an action: rounded to bfloat16 p is 1, and its gradient 0."""
    config, network, make_task, module = METHODS[method]
    gradients = []
    for amp in (False, True):
        torch.manual_seed(0)
        task = make_task(network(8, config), config)
        last = last_layer(task.model, method)
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, 7.0)
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            loss = task.losses(batch_of(config, module, [[]]))["classification"]
        loss.backward()
        gradients.append(float(last.bias.grad[1]))
    assert gradients[1] == pytest.approx(gradients[0], rel=0.02) and gradients[0] > 0.1


def test_losses_and_gradients_of_pgcn():
    config, losses = Config(hidden=8, dropout=0.0, graph_dropout=0.0), []
    rows, generator = (2, 8), torch.Generator().manual_seed(0)
    batch = {
        "features": torch.rand(*rows, 21, 3 * 6, generator=generator),
        "label": torch.tensor([1, 2, 3, 1, 2, 3, 1, 0]).expand(rows),
        "type": torch.tensor([0, 1, 1, 1, 1, 1, 1, 2]).expand(rows),
        "used": torch.ones(rows, dtype=torch.bool),
        "target": torch.randn(*rows, 2, generator=generator),
    }
    for amp in (False, True):
        torch.manual_seed(0)
        task = PgcnTask(Pgcn(6, 3, config), config)
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            terms = task.loss(batch)
        sum(term.sum for term in terms.values()).backward()
        assert all(torch.isfinite(p.grad).all() for p in task.model.parameters())
        losses.append({name: float(term.sum.detach()) for name, term in terms.items()})
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
