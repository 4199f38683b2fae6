"""The training loop. A task supplies model, losses and metrics; everything else is here."""

from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from tsp.training.config import TrainerConfig
from tsp.training.task import FitResult, LossTerm, Task

__all__ = ["FitResult", "LossTerm", "Task", "fit"]


def fit(
    task: Task,
    train_data: Dataset[Any],
    valid_data: Dataset[Any] | None,
    config: TrainerConfig,
    work_dir: str | Path,
    *,
    workers: int = 0,
    device: str | None = None,
) -> FitResult:
    """Train `task.model` on `train_data`, choosing the best epoch on `valid_data`."""
    raise NotImplementedError
