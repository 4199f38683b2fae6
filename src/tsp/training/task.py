"""The interface between a method and the trainer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class LossTerm:
    """A loss (or metric) as sum and count: an empty mean is 0, and means over ranks are exact.

    Args:
        sum: scalar tensor, with gradient for a loss.
        count: how many items were summed; over all ranks, `sum / max(count, tiny)` is the mean.
        weight: factor of this term in the total loss.
    """

    sum: Tensor
    count: Tensor | float
    weight: float = 1.0


class Task(Protocol):
    """A model with its losses and metrics. The trainer owns devices, steps, checkpoints, ranks."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    metric: str
    """Key of `validate`'s result that picks the best epoch."""
    higher_is_better: bool

    def param_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser: `params`, `lr`, `name`, and `weight_decay` where it differs."""

    def loss(self, batch: Any) -> Mapping[str, LossTerm]:
        """Losses of a training batch, already on the device; the total is the weighted sum of their means."""

    def validate(self, batches: Iterable[Any]) -> Mapping[str, float | LossTerm]:
        """Metrics of the validation batches; model in eval mode, no gradients.

        With several processes each validates a part of the data. Then every value must be a `LossTerm`, which the
        trainer sums over ranks. An optional method `summary(metrics) -> metrics` adds derived metrics.
        """


@dataclass(frozen=True)
class FitResult:
    """The result of a training.

    Args:
        best_value: the metric of `best_epoch`; NaN without validation data.
        best_epoch: counted from 0.
        state: state dict on the CPU of the best or last epoch, as configured.
        history: one dict per epoch: `epoch`, `iteration`, train losses (`train/<name>`), `valid/<metric>`.
    """

    best_value: float
    best_epoch: int
    state: dict[str, Tensor]
    history: list[dict[str, Any]] = field(default_factory=list)
