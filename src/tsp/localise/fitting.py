"""Training of a localiser's network from examples in memory to its weights, facts and log."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from tsp.io.files import sha256
from tsp.training.checkpoint import config_hash
from tsp.training.fit import Task, fit
from tsp.training.save import save_trained
from tsp.training.seeds import seed_everything


def fit_and_save(
    make_task: Callable[[str], Task],
    data: tuple[Dataset[Any], Dataset[Any] | None],
    config: Any,
    *,
    inputs: Mapping[str, Path],
    facts: Mapping[str, Any] | None = None,
    seed: int,
    weights: Path,
    work: Path,
    device: str | None,
) -> None:
    """Train a new network and write its weights, the facts beside them, and `log.jsonl`.

    Args:
        make_task: fingerprint of options and inputs -> task with a new network; called after seeding.
        data: to train on; to validate on, or None.
        config: the method's options, with a `trainer`.
        inputs: files that the result depends on, by name.
        facts: more to state beside the weights.
        seed: of initial weights and of all draws.
        weights: `.safetensors` file to write.
        work: folder of the state of an interrupted training; emptied at the end, except for the log.
        device: see `fit`.
    """
    hashes = {name: sha256(path) for name, path in inputs.items()}
    own = {name: value for name, value in asdict(config).items() if name != "trainer"}
    seed_everything(seed)
    task = make_task(config_hash(config.trainer, own=own, inputs=hashes))
    result = fit(task, *data, replace(config.trainer, seed=seed), work, device=device)
    stated = {"config": asdict(config), "seed": seed, **(facts or {}), "inputs_sha256": hashes}
    save_trained(weights, result, {**stated, "best_epoch": result.best_epoch, "epochs": result.history}, work)
