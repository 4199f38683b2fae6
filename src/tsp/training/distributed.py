"""Several processes, one per device: starting them and sums over them."""

import logging
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from tsp.errors import TspError
from tsp.training import cards
from tsp.training.cluster import launch_tasks

log = logging.getLogger(__name__)


def rank() -> int:
    """Rank of this process; 0 without a process group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def pick_device(name: str | None = None) -> torch.device:
    """The device called `name`; None: a free GPU, which this process keeps, if there are any, else the CPU.

    Raises:
        TspError: `cuda` is requested and no GPU is available.
    """
    if name is None or name == "cuda":
        if cards.count():
            (card,) = cards.claim(1)
            if torch.cuda.is_available():
                return torch.device("cuda", card)
        if name == "cuda":
            raise TspError("device 'cuda': PyTorch finds no GPU here; use 'cpu' or leave the device open")
    return torch.device(name or "cpu")


def set_tf32(allowed: bool) -> None:
    """Whether convolutions and matrix products of float32 may use TF32; PyTorch's own defaults differ between both."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def add_up(tensor: Tensor) -> Tensor:
    """Sum of `tensor` over ranks, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def smallest(tensor: Tensor) -> Tensor:
    """Smallest value of `tensor` over ranks, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor, dist.ReduceOp.MIN)
    return tensor


def add_up_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Sum every gradient over ranks; a parameter without gradient on some rank counts as zero there."""
    if world_size() == 1:
        return
    with torch.no_grad():
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = add_up(torch.cat([g.reshape(-1) for g in grads]))
        pieces = torch.split(flat, [p.numel() for p in parameters])
        for parameter, grad, piece in zip(parameters, grads, pieces, strict=True):
            parameter.grad = grad.copy_(piece.view_as(grad))


def copy_from_first(model: nn.Module, *, buffers_only: bool = False) -> None:
    """Copy the first rank's buffers (batch-norm statistics) and, by default, parameters to every rank."""
    if world_size() == 1:
        return
    tensors = list(model.buffers()) if buffers_only else list(model.state_dict().values())
    for tensor in tensors:
        dist.broadcast(tensor.data, 0)


def gather(value: Any) -> list[Any]:
    """`value` of every rank, in rank order."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def launch(fn: Callable[..., None], world: int, args: tuple[Any, ...] = (), launcher: str | None = None) -> None:
    """Run `fn(*args)` in a group of `world` processes; in this process if `world` is 1.

    Args:
        fn: a function of a module or a partial of one, picklable; each process imports it. Its results go to files.
        world: processes; one per GPU, or all on the CPU if there is no GPU.
        args: arguments of `fn`, picklable.
        launcher: None: all on this machine; else the cluster's command to start them (`tsp.training.cluster`).

    Raises:
        TspError: the error of one of the processes; the others are stopped. Fewer GPUs than processes.
    """
    if world == 1:
        fn(*args)
        return
    if launcher is not None:
        launch_tasks(launcher, fn, world, args)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("spawn")
    errors = context.SimpleQueue()
    level = logging.getLogger().getEffectiveLevel()
    claimed = cards.claim(world) if cards.count() else None
    try:
        mp.spawn(_process, (partial(fn, *args), (world, port), errors, level, claimed), nprocs=world, join=True)
    except (mp.ProcessRaisedException, mp.ProcessExitedException) as error:
        if errors.empty():
            raise
        raise TspError(errors.get()) from error


def _process(
    number: int,
    work: Callable[[], None],
    group: tuple[int, int],
    errors: SimpleQueue[str],
    level: int,
    claimed: list[int] | None,
) -> None:
    logging.basicConfig(level=level if number == 0 else logging.WARNING)
    world, port = group
    on_gpus = torch.cuda.is_available()
    if claimed is not None:
        cards.assign(claimed[number])
    if on_gpus and claimed is not None:
        torch.cuda.set_device(claimed[number])
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("nccl" if on_gpus else "gloo", rank=number, world_size=world)
    try:
        dist.barrier()  # one that ends at once would break off the connections that others are still making
        work()
    except TspError as error:
        errors.put(str(error))
        raise
    finally:
        dist.destroy_process_group()
