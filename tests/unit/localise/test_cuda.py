"""The same numbers on a GPU, to rounding."""

import os

import numpy as np
import pytest
import torch
from unit.localise.make import SMALL, SMALL_BMN

from tsp.localise.bmn import Bmn, BmnTask
from tsp.localise.gtad import Gtad, GtadTask

pytestmark = pytest.mark.gpu


@pytest.fixture
def cuda():
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("TSP_REQUIRE_GPU"):
        pytest.fail("TSP_REQUIRE_GPU is set, but PyTorch finds no CUDA device")
    return pytest.skip("no CUDA device")


@pytest.mark.parametrize("method", ["gtad", "bmn"])
def test_network_and_gradients(cuda, method):
    config, network, make_task = (SMALL, Gtad, GtadTask) if method == "gtad" else (SMALL_BMN, Bmn, BmnTask)
    torch.manual_seed(0)
    batch = {
        "features": torch.randn(3, 8, 16),
        "iou": torch.rand(3, *config.grid.valid.shape),
        "start": torch.rand(3, 16),
    }
    batch["end"] = torch.rand(3, 16)
    results = []
    for device in (torch.device("cpu"), cuda):
        torch.manual_seed(1)
        model = network(8, config).to(device)
        task = make_task(model, config)
        found = model(batch["features"].to(device))
        terms = task.losses({name: x.to(device) for name, x in batch.items()})
        # The regression loss draws its cells from the device's own generator.
        (terms["node"] + terms["classification"] + found[0].sum()).backward()
        grads = [p.grad.cpu() for p in model.parameters()]
        results.append([part.detach().cpu() for part in found] + grads)
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
