"""One TSP training step: as published, and with the trainer's options.

As published: every parameter gets gradients, and the stem's rate is 0; fp32, channels first. Ours: the stem takes
no gradients, which changes no number (its batch-norm statistics still move). Then channels-last and, on a GPU, bf16
and torch.compile. Share of peak: operations of the published step, counted by torch, per second over those of a large
matrix product (fp32, or bf16 for the bf16 rows) in the same run. On a CPU small clips.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from tsp.encoders import video_resnet  # noqa: E402
from tsp.pretrain.config import PretrainTrainer, RunConfig  # noqa: E402
from tsp.pretrain.model import TspModel  # noqa: E402
from tsp.pretrain.train import TspTask  # noqa: E402
from tsp.training.loader import to_device  # noqa: E402
from tsp.training.optim import make_optimizer  # noqa: E402

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
RUN = RunConfig(encoder="x", start="x", gvf="max", trainer=PretrainTrainer())


def make_batch(size: int, pixels: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return {
        "clip": torch.randn(size, 3, 16, pixels, pixels, generator=rng),
        "gvf": torch.rand(size, 512, generator=rng),
        "action": torch.arange(size) % 200,
        "region": torch.arange(size) % 2,
    }


class Step:
    """A model with its optimiser; calling it does one step and returns the loss."""

    def __init__(self, encoder: str, *, published: bool, last: bool = False, amp: bool = False, compiled: bool = False):
        torch.manual_seed(0)
        self.model = TspModel(getattr(video_resnet, encoder)(), {"action": 200, "region": 2}, 512).to(DEVICE).train()
        self.task = TspTask(self.model, RUN)
        groups = self.task.param_groups()
        if published:
            for parameter in self.model.parameters():
                parameter.requires_grad_(True)
        if last:
            for module in self.model.modules():
                if isinstance(module, nn.Conv3d):
                    module.to(memory_format=torch.channels_last_3d)
        self.optimizer, self.last, self.amp = make_optimizer(groups, RUN.trainer), last, amp
        if compiled:
            self.model.compile()

    def __call__(self, batch: dict[str, torch.Tensor]) -> float:
        moved = to_device(batch, DEVICE, channels_last=self.last)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.amp):
            terms = self.task.loss(moved).values()
        loss = sum(t.weight * t.sum / t.count for t in terms)
        loss.backward()
        self.model.features.stem.zero_grad(set_to_none=True)  # the published rate of 0
        self.optimizer.step()
        return loss.item()


def seconds(work, repeats: int) -> float:
    """Best of `repeats` after one warm-up; wall clock on a GPU, CPU seconds else (other work counts less)."""
    best = float("inf")
    clock = time.perf_counter if GPU else time.process_time
    for number in range(repeats + 1):
        start = clock()
        work()
        if GPU:
            torch.cuda.synchronize()
        if number:
            best = min(best, clock() - start)
    return best


def peak_flops(dtype: torch.dtype) -> float:
    n = 8192 if GPU else 1024
    a, b = (torch.randn(n, n, device=DEVICE, dtype=dtype) for _ in range(2))
    return 2 * n**3 / seconds(lambda: a @ b, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="r2plus1d_34" if GPU else "r2plus1d_18")
    parser.add_argument("--batch", type=int, default=32 if GPU else 2)
    parser.add_argument("--pixels", type=int, default=112 if GPU else 56)
    args = parser.parse_args()
    if not GPU:
        torch.set_num_threads(1)
    batch = make_batch(args.batch, args.pixels)
    rows = {
        "as published": {"published": True},
        "stem without gradients (ours)": {"published": False},
        "and channels-last": {"published": False, "last": True},
    }
    if GPU:
        rows["and bf16"] = {"published": False, "last": True, "amp": True}
        rows["and compiled"] = {"published": False, "last": True, "amp": True, "compiled": True}
    with FlopCounterMode(display=False) as counter:
        Step(args.encoder, published=True)(batch)
    flops = counter.get_total_flops()
    peaks = {amp: peak_flops(torch.bfloat16 if amp else torch.float32) for amp in (False, True)}
    name = torch.cuda.get_device_name() if GPU else "CPU, one thread"
    print(f"{args.encoder}, batch {args.batch}, {args.pixels} pixels, on {name}; {flops / 1e12:.2f} Tflop per step")
    print(f"{'':30} {'loss':>8} {'clips/s':>8} {'ratio':>6} {'of peak':>8} {'memory GB':>10}")
    first, losses = 0.0, []
    for title, options in rows.items():
        step = Step(args.encoder, **options)
        if GPU:
            torch.cuda.reset_peak_memory_stats()
        losses.append(step(batch))
        took = seconds(lambda step=step: step(batch), 3)
        first = first or took
        memory = f"{torch.cuda.max_memory_allocated() / 1e9:10.1f}" if GPU else f"{'-':>10}"
        share = flops / took / peaks[bool(options.get("amp"))]
        print(f"{title:30} {losses[-1]:8.4f} {args.batch / took:8.2f} {first / took:6.2f} {share:8.1%} {memory}")
    if abs(losses[0] - losses[1]) > 1e-6 * abs(losses[0]):
        sys.exit("error: leaving out the stem's gradients changed the loss")


if __name__ == "__main__":
    main()
