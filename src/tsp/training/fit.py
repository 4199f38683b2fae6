"""The training loop of every method: optimisation, validation, checkpoints, resuming, several processes."""

import contextlib
import itertools
import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Dataset

from tsp.encoders.channels_last import to_channels_last
from tsp.errors import TspError
from tsp.progress import progress
from tsp.training import checkpoint, distributed, optim, seeds
from tsp.training.config import TrainerConfig
from tsp.training.loader import EpochBatches, make_loader, read, to_device
from tsp.training.logs import JsonLog
from tsp.training.task import FitResult, LossTerm, Task

__all__ = ["FitResult", "LossTerm", "Task", "fit"]
log = logging.getLogger(__name__)
AMP = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    """Train `task.model`; resume an interrupted training from the checkpoint in `work_dir`.

    On a CPU a resumed training gives bit for bit the weights of an uninterrupted one. Inside
    `distributed.launch` every process calls `fit` with equal arguments. Gradients are those of the global
    batch of `batch_size` times `replicas` items, whose replicas this process plays one after the other or shares with
    others. Batch norm is not synchronised: the first replica's running statistics are validated and kept.

    Paper: section 4 (two GPUs); tsp.md 7.1.

    Args:
        task: model, losses, metric; an optional text `fingerprint` must match that of a checkpoint to resume from.
        train_data: map-style; the random draws of an item must depend on (seed, epoch, index) only. Optional
            methods: `set_epoch` receives the epoch, `collate` joins items.
        valid_data: likewise, read in natural order; None: no validation, the last weights are returned.
        config: see `TrainerConfig`.
        work_dir: folder for `state.pt`, `best.pt` and `log.jsonl`.
        workers: loader processes; 0 loads in this one.
        device: `cpu`, `cuda` or `cuda:1`; None: a GPU if available.

    Returns:
        The chosen epoch's metric and weights, and the history; the task's model holds those weights too.

    Raises:
        TspError: no data, processes that do not divide the replicas, a loss or metric is not finite, the disk is full,
            the checkpoint is of another configuration.
    """
    return _Fit(task, train_data, valid_data, config, Path(work_dir), workers=workers, device=device).run()


class _Fit:
    def __init__(
        self,
        task: Task,
        train_data: Any,
        valid_data: Any,
        config: TrainerConfig,
        work_dir: Path,
        *,
        workers: int,
        device: str | None,
    ) -> None:
        if len(train_data) == 0 or (valid_data is not None and len(valid_data) == 0):
            raise TspError("nothing to train or validate on: the data set is empty; check the segments file")
        if config.replicas % distributed.world_size():
            possible = ", ".join(str(n) for n in range(1, config.replicas + 1) if config.replicas % n == 0)
            raise TspError(
                f"{distributed.world_size()} devices cannot share {config.replicas} replicas; use {possible}, or set"
                " trainer.replicas, which makes another experiment"
            )
        self.task, self.config, self.work_dir, self.workers = task, config, work_dir, workers
        self.train_data, self.valid_data = train_data, valid_data
        self.device = distributed.pick_device(device)
        self.rank = distributed.rank()
        task.model.to(self.device)
        if config.channels_last:
            to_channels_last(task.model)
        distributed.copy_from_first(task.model)
        self.optimizer = optim.make_optimizer(task.param_groups(), config)
        self.parameters = [p for g in self.optimizer.param_groups for p in g["params"] if p.requires_grad]
        self.norms = [m for m in task.model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
        self.steps_per_epoch = -(-len(self._batches(0, 0)) // config.accumulate)
        self.schedule = optim.make_schedule(config, self.steps_per_epoch)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.amp == "fp16")
        self.hash = checkpoint.config_hash(
            config,
            rates=optim.rates(self.optimizer),
            items=[len(train_data), 0 if valid_data is None else len(valid_data)],
            task=getattr(task, "fingerprint", ""),
        )
        self.epoch = self.position = 0
        self.best_value, self.best_epoch, self.stale = math.nan, -1, 0
        self.history: list[dict[str, Any]] = []
        # Sums and counts of each loss, since the last log line and since the start of the epoch.
        self.window: dict[str, Tensor] = {}
        self.total: dict[str, Tensor] = {}

    @property
    def iteration(self) -> int:
        """Optimiser steps done."""
        return self.epoch * self.steps_per_epoch + self.position

    def run(self) -> FitResult:
        """Train all epochs, or those after the checkpoint in the work folder."""
        config = self.config
        seeds.seed_everything(config.seed, self.rank)
        self._restore()
        path = self.work_dir / checkpoint.LOG if self.rank == 0 else None
        self.log = JsonLog(path, self.iteration, self.epoch, tensorboard=config.tensorboard)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            distributed.set_tf32(config.tf32)
        if config.compile:
            self.task.model.compile()
        while self.epoch < config.epochs and not self._out_of_patience():
            self._train_epoch()
            record: dict[str, Any] = {"epoch": self.epoch, "iteration": self.iteration}
            record |= {f"train/{name}": value for name, value in self._means(self.total).items()}
            if self._validation_is_due():
                self._save()
                record |= {f"valid/{name}": value for name, value in self._validate().items()}
            self.history.append(record)
            self.log.write(record)
            log.info("%s", ", ".join(f"{k} {v:.6g}" for k, v in record.items()))
            self.epoch, self.position, self.total = self.epoch + 1, 0, {}
            self._save()
        return self._result()

    def _train_epoch(self) -> None:
        config = self.config
        if hasattr(self.train_data, "set_epoch"):
            self.train_data.set_epoch(self.epoch)
        batches = self._batches(self.epoch, self.position * config.accumulate)
        if self.position == self.steps_per_epoch:
            return
        stream = self._loader(self.train_data, batches)
        self.task.model.train()
        steps: Any = range(self.position, self.steps_per_epoch)
        if self.rank == 0:
            steps = progress(steps, desc=f"epoch {self.epoch + 1}/{config.epochs}", unit="batch")
        started, done = time.monotonic(), 0
        self.unbroken, self.finite_steps = (torch.full((), x, device=self.device) for x in (1, 0))
        for step in steps:
            numbers = range(step * config.accumulate, min((step + 1) * config.accumulate, len(batches)))
            fillers = [[batches.is_filler(number, replica) for replica in batches.own] for number in numbers]
            self._step([(list(itertools.islice(stream, len(row))), row) for row in fillers])
            self.position, done = step + 1, done + 1
            is_last, every = self.position == self.steps_per_epoch, config.checkpoint_every
            logs, saves = self.position % config.log_every == 0, bool(every and self.position % every == 0)
            if is_last or logs or saves:
                self._check_losses(self.position - done)
            if logs:
                speed = done / (time.monotonic() - started)
                self._log_window(speed * config.batch_size * config.replicas * config.accumulate)
            if saves and not is_last:
                self._save()

    def _check_losses(self, first: int) -> None:
        """Refuse losses that are not finite. Only before a log line or a checkpoint: the host waits for the device.

        Args:
            first: position of the first step since the loop began.
        """
        # The smallest number of any rank: after the first broken step all later ones are broken too.
        finite = first + int(distributed.smallest(self.finite_steps))
        if finite == self.position:
            return
        step = self.epoch * self.steps_per_epoch + finite
        optim.set_rates(self.optimizer, self.schedule(step))
        rates = ", ".join(f"{name} {lr:.3g}" for name, lr in optim.rates(self.optimizer).items())
        raise TspError(
            f"the loss is not finite at iteration {step} (epoch {self.epoch}), learning rates: "
            f"{rates}; the last good checkpoint is in {self.work_dir}; try lower rates or amp 'off'"
        )

    def _batches(self, epoch: int, skip: int) -> EpochBatches:
        config = self.config
        padded, keys = config.loss_mean == "replica", (config.seed, epoch)
        size, replicas = len(self.train_data), config.replicas
        return EpochBatches(size, config.batch_size, keys=keys, skip=skip, replicas=replicas, padded=padded)

    def _step(self, group: list[tuple[list[Any], list[bool]]]) -> None:
        """One optimiser step over global batches: of each the batches of this process's replicas, and which count."""
        config, factor = self.config, self.schedule(self.iteration)
        optim.set_rates(self.optimizer, factor)
        self.optimizer.zero_grad(set_to_none=True)
        for batches, fillers in group:
            for loss, sums in self._losses(batches, fillers):
                torch.autograd.backward(self.scaler.scale(loss / len(group)))
                for name, pair in sums.items():
                    self.window[name] = self.window.get(name, 0) + pair
                    self.total[name] = self.total.get(name, 0) + pair
                    self.unbroken *= torch.isfinite(pair[0])
        self.finite_steps += self.unbroken
        distributed.add_up_gradients(self.parameters)
        if config.grad_clip is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.parameters, config.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _losses(self, batches: list[Any], fillers: list[bool]) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Losses of a global batch to be passed back one by one, and their sums and counts for the log."""
        terms = (self._forward(batch, number) for number, batch in enumerate(batches))
        if self.config.loss_mean == "replica":
            for own in terms:
                loss, sums = _normalise(own, _counts(own))
                yield loss / self.config.replicas, sums
            return
        # The counts of all replicas come first, so that all of this process's networks stay in memory.
        found = list(terms)
        counts = [_counts(own) * (not filler) for own, filler in zip(found, fillers, strict=True)]
        everywhere = distributed.add_up(torch.stack(counts).sum(0))
        for own, count, filler in zip(found, counts, fillers, strict=True):
            yield _normalise(own, everywhere, count, ignore=filler)

    def _forward(self, batch: Any, number: int) -> Mapping[str, LossTerm]:
        """Loss terms of one replica; only the first one moves the running statistics of batch norms."""
        for norm in self.norms:
            norm.track_running_stats = number == 0
        try:
            with self._autocast():
                return self.task.loss(self._move(batch))
        finally:
            for norm in self.norms:
                norm.track_running_stats = True

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        model, size = self.task.model, len(self.valid_data)
        distributed.copy_from_first(model, buffers_only=True)
        model.eval()
        batches = EpochBatches(size, self.config.batch_size)
        loader = self._loader(self.valid_data, batches)
        with self._autocast():
            raw = self.task.validate(self._valid_batches(loader, len(batches)))
        model.train()
        metrics = _over_ranks(raw, self.device)
        if hasattr(self.task, "summary"):
            metrics = self.task.summary(metrics)
        value = metrics[self.task.metric]
        if not math.isfinite(value):
            raise TspError(f"validation metric {self.task.metric!r} is {value} after epoch {self.epoch}")
        sign = 1 if self.task.higher_is_better else -1
        self.stale += 1
        if self.best_epoch < 0 or sign * value > sign * self.best_value:
            self.best_value, self.best_epoch, self.stale = value, self.epoch, 0
            if self.rank == 0 and self.config.keep == "best":
                checkpoint.check_finite(model, self.iteration)
                checkpoint.write(self.work_dir / checkpoint.BEST, {"model": checkpoint.cpu_state(model)})
        return metrics

    def _valid_batches(self, loader: Iterator[Any], count: int) -> Iterator[Any]:
        shown = progress(loader, desc="validation", total=count, unit="batch") if self.rank == 0 else loader
        return (self._move(batch) for batch in shown)

    def _result(self) -> FitResult:
        if self.config.keep == "best" and self.best_epoch >= 0:
            state = checkpoint.read(self.work_dir / checkpoint.BEST)["model"]
            self.task.model.load_state_dict(state)
        else:
            state = checkpoint.cpu_state(self.task.model)
        best = self.best_epoch if self.best_epoch >= 0 else self.epoch - 1
        return FitResult(best_value=self.best_value, best_epoch=best, state=state, history=self.history)

    def _validation_is_due(self) -> bool:
        last = self.epoch + 1 == self.config.epochs
        return self.valid_data is not None and (last or (self.epoch + 1) % self.config.validate_every == 0)

    def _out_of_patience(self) -> bool:
        return self.config.patience is not None and self.stale >= self.config.patience

    def _loader(self, data: Any, batches: EpochBatches) -> Iterator[Any]:
        keys = (self.config.seed, self.epoch)
        pin = self.device.type == "cuda"
        return read(make_loader(data, batches, workers=self.workers, pin=pin, keys=keys))

    def _move(self, batch: Any) -> Any:
        return to_device(batch, self.device)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.config.amp == "off":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, AMP[self.config.amp])

    def _log_window(self, items_per_s: float) -> None:
        record = {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "lr": optim.rates(self.optimizer),
            "items_per_s": round(items_per_s, 2),
        }
        self.log.write(record | {f"train/{name}": value for name, value in self._means(self.window).items()})
        self.window = {}

    def _means(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        pairs = {name: pair.tolist() for name, pair in self._sums(sums).items()}
        return {name: total / count if count else 0.0 for name, (total, count) in pairs.items()}

    def _sums(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: distributed.add_up(pair.clone()) for name, pair in sums.items()}

    def _save(self) -> None:
        random_states = distributed.gather(seeds.get_random_state(self.device))
        window, total = self._sums(self.window), self._sums(self.total)
        if self.rank:
            return
        checkpoint.check_finite(self.task.model, self.iteration)
        keys = ("epoch", "position", "best_value", "best_epoch", "stale", "history")
        checkpoint.write(
            self.work_dir / checkpoint.STATE,
            {
                "config_hash": self.hash,
                "model": self.task.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "random": random_states,
                "window": window,
                "total": total,
                **{key: getattr(self, key) for key in keys},
            },
        )

    def _restore(self) -> None:
        path = self.work_dir / checkpoint.STATE
        if self.rank == 0:
            checkpoint.discard_temporary(self.work_dir)
        if not path.is_file():
            return
        state = checkpoint.read(path)
        is_same = checkpoint.check_hash(state, self.hash, path)
        if is_same:
            self.task.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        else:
            self._load_other(state, path)
        self.scaler.load_state_dict(state["scaler"])
        # There are more processes than states only where the user has accepted another number of them.
        seeds.set_random_state(state["random"][self.rank % len(state["random"])], self.device)
        for key in ("epoch", "position", "best_value", "best_epoch", "stale", "history"):
            setattr(self, key, state[key])
        self.position = min(self.position, self.steps_per_epoch)
        # The stored sums are over all ranks, so only the first rank adds them.
        share = 1.0 if self.rank == 0 else 0.0
        for key in ("window", "total"):
            setattr(self, key, {k: v.to(self.device) * share for k, v in state[key].items()})
        log.info("resuming after epoch %d, step %d of %d", self.epoch, self.position, self.steps_per_epoch)

    def _load_other(self, state: dict[str, Any], path: Path) -> None:
        """Load a state of other options; the present ones apply from here on."""
        groups = self.optimizer.param_groups
        present = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        try:
            for group, saved in zip(groups, state["optimizer"]["param_groups"], strict=True):
                if group.keys() != saved.keys():
                    raise ValueError("another optimiser")
            self.task.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise TspError(
                f"{path}: does not fit the present model and optimiser, so that it cannot be resumed; delete"
                f" {path.parent} to train from the start"
            ) from error
        for group, options in zip(self.optimizer.param_groups, present, strict=True):
            group.update(options)


def _counts(terms: Mapping[str, LossTerm]) -> Tensor:
    """How many items each loss sums, float64."""
    device = next(iter(terms.values())).sum.device
    return torch.stack([_on_device(term.count, device) for term in terms.values()]).detach()


def _normalise(
    terms: Mapping[str, LossTerm], counts: Tensor, own: Tensor | None = None, *, ignore: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the losses divided by `counts`; and detached sums and own counts (None: these)."""
    loss, sums = next(iter(terms.values())).sum.new_zeros(()), {}
    for i, (name, term) in enumerate(terms.items()):
        value = term.sum * (not ignore)
        mean = value / torch.where(counts[i] > 0, counts[i], 1.0).to(value.dtype)
        loss = loss + term.weight * mean
        sums[name] = torch.stack([value.detach().double(), (counts if own is None else own)[i]])
    return loss, sums


def _on_device(count: Tensor | float, device: torch.device) -> Tensor:
    if isinstance(count, Tensor):
        return count.double()
    return torch.full((), count, dtype=torch.float64, device=device)  # filled there: a copy would make the host wait


def _over_ranks(raw: Mapping[str, float | LossTerm], device: torch.device) -> dict[str, float]:
    metrics = {}
    for name, value in raw.items():
        if isinstance(value, LossTerm):
            pair = torch.tensor([float(value.sum), float(value.count)], dtype=torch.float64, device=device)
            total, count = distributed.add_up(pair).tolist()
            metrics[name] = total / count if count else math.nan
        elif distributed.world_size() > 1:
            raise TypeError(f"metric {name!r}: several processes need a LossTerm, got {type(value).__name__}")
        else:
            metrics[name] = float(value)
    return metrics
