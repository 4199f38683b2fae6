"""Batches in a reproducible order, from any position of an epoch."""

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from tsp.errors import TspError
from tsp.training import distributed
from tsp.training.seeds import torch_rng


class EpochBatches(Sampler[list[int]]):
    """The batches of one epoch for the replicas that this process plays.

    A global batch is `batch_size * replicas` consecutive items of the epoch's order. Every replicas-th item of it from
    r on is the batch of replica r; the replicas are divided evenly among the processes, in order.

    Args:
        size: items of the data set.
        batch_size: items of a replica's batch; the last one may be smaller.
        keys: seeds of the order, by convention (seed, epoch); None: natural order.
        skip: global batches that are already done.
        replicas: None: one for each process.
        padded: repeat the first items of the order until the replicas divide it, as the released code. Otherwise a
            replica without an item in the last global batch gets the first one of it, marked by `is_filler`, so that
            all replicas take equally many steps; in natural order it gets none.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        keys: tuple[int, ...] | None = None,
        skip: int = 0,
        replicas: int | None = None,
        padded: bool = False,
    ) -> None:
        self.size, self.keys, self.skip, self.padded = size, keys, skip, padded
        self.replicas = replicas or distributed.world_size()
        share = self.replicas // distributed.world_size()
        self.own = range(distributed.rank() * share, (distributed.rank() + 1) * share)
        self.chunk = batch_size * self.replicas

    def __len__(self) -> int:
        """Global batches of the whole epoch, skipped ones included."""
        return -(-self.size // self.chunk)

    def is_filler(self, batch: int, replica: int) -> bool:
        """Whether a replica's batch is a repeated item that must not count."""
        return not self.padded and self.size - batch * self.chunk <= replica

    def __iter__(self) -> Iterator[list[int]]:
        """For each global batch the batches of this process's replicas."""
        if self.keys is None:
            order = list(range(self.size))
        else:
            order = torch.randperm(self.size, generator=torch_rng(*self.keys)).tolist()
        if self.padded:
            order += list(itertools.islice(itertools.cycle(order), -self.size % self.replicas))
        for batch in range(self.skip, len(self)):
            items = order[batch * self.chunk : (batch + 1) * self.chunk]
            for replica in self.own:
                if not self.is_filler(batch, replica):
                    yield items[replica :: self.replicas]
                elif self.keys is not None:
                    yield items[:1]


def make_loader(
    data: Dataset[Any], batches: EpochBatches, *, workers: int, pin: bool, keys: tuple[int, ...]
) -> DataLoader[Any]:
    """A loader over `batches`; `data.collate` joins items where the data set has one.

    Args:
        keys: seeds of the workers' random states; the global random state of this process is not used.
    """
    # Forked workers share the data set's memory; spawned ones would import and copy everything.
    context = "fork" if workers and sys.platform == "linux" else None
    return DataLoader(
        data,
        batch_sampler=batches,
        num_workers=workers,
        multiprocessing_context=context,
        collate_fn=getattr(data, "collate", None),
        pin_memory=pin,
        generator=torch_rng(*keys, distributed.rank()),
    )


def read(loader: DataLoader[Any]) -> Iterator[Any]:
    """The loader's batches; a worker's error is raised as if it occurred in this process.

    Raises:
        TspError: the error of the data set, or a worker was killed.
    """
    try:
        yield from loader
    except TspError as error:
        # PyTorch wraps the message of a worker's exception in its traceback.
        raise TspError(str(error).rsplit("TspError: ", 1)[-1].strip()) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TspError(f"a loader process was killed, usually out of memory: {error}; use fewer workers") from error


def to_device(batch: Any, device: torch.device) -> Any:
    """Move every tensor of nested dicts, lists and tuples to `device`."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {k: to_device(v, device) for k, v in batch.items()}
    if isinstance(batch, tuple | list):
        moved = [to_device(v, device) for v in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch
