"""Optimisers and learning-rate schedules."""

from collections.abc import Callable
from typing import Any

import torch

from tsp.training.config import TrainerConfig

Schedule = Callable[[int], float]


def make_schedule(config: TrainerConfig, steps_per_epoch: int) -> Schedule:
    """Factor on every learning rate as a function of the iteration, counted from 0 over the whole run.

    Args:
        config: `warmup_steps`: w(k) * gamma ** m(k), with w linear from `warmup_factor` to 1 over
            `warmup_epochs` and m the number of milestones reached.
        steps_per_epoch: optimiser steps of an epoch.

    Paper: section 4 (implementation details); tsp.md 7.1.
    """
    if config.schedule == "constant":
        return lambda iteration: 1.0
    ramp = config.warmup_epochs * steps_per_epoch

    def factor(iteration: int) -> float:
        epoch = iteration // steps_per_epoch
        if config.step_after_epoch:
            iteration = epoch * steps_per_epoch
        share = min(1.0, iteration / ramp) if ramp else 1.0
        warm = config.warmup_factor * (1.0 - share) + share
        return float(warm * config.gamma ** sum(epoch >= m for m in config.milestones))

    return factor


def make_optimizer(groups: list[dict[str, Any]], config: TrainerConfig) -> torch.optim.Optimizer:
    """SGD or Adam over the task's parameter groups; each keeps its rate as `initial_lr`."""
    groups = [{**group, "params": list(group["params"]), "initial_lr": group["lr"]} for group in groups]
    # One kernel for all parameters on a GPU; the CPU keeps the plain order of operations, and with it its bits.
    fused = all(p.is_cuda for group in groups for p in group["params"]) or None
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, weight_decay=config.weight_decay, fused=fused)
    return torch.optim.Adam(
        groups, betas=config.betas, eps=config.adam_eps, weight_decay=config.weight_decay, fused=fused
    )


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to its initial one times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Current rate of each group, by name."""
    return {group.get("name", str(i)): group["lr"] for i, group in enumerate(optimizer.param_groups)}
