"""One TSP training step: as published, and with the trainer's options.

As published: every parameter gets gradients, the stem has rate 0; float32, channels first. Ours: the stem gets no
gradients, with the same result (its batch-norm statistics are still updated). Then, on a GPU, TF32, bf16 in a
channels-last layout for tensor cores, and torch.compile. Clips come as bytes of 128 x 171 pixels and are transformed in
the step. Share of peak: operations of the published step, counted by torch, per second over those of a large matrix
product (float32, or bf16 for the bf16 rows) in the same run. Losses: of the first and the 20th step on the same batch.
On a CPU small clips, 3 steps.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from tsp.encoders import video_resnet  # noqa: E402
from tsp.encoders.channels_last import to_channels_last  # noqa: E402
from tsp.encoders.config import EncoderConfig  # noqa: E402
from tsp.pretrain.config import PretrainTrainer, RunConfig  # noqa: E402
from tsp.pretrain.model import TspModel  # noqa: E402
from tsp.pretrain.train import TspTask  # noqa: E402
from tsp.training.distributed import set_tf32  # noqa: E402
from tsp.training.loader import to_device  # noqa: E402
from tsp.training.optim import make_optimizer  # noqa: E402
from tsp.video.transforms import random_view  # noqa: E402

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
RUN = RunConfig(encoder="x", start="x", gvf="max", trainer=PretrainTrainer())


def make_batch(size: int, form: EncoderConfig) -> dict[str, Any]:
    """Clips of blurred noise, each of its own, that drift to the right."""
    rng = torch.Generator().manual_seed(0)
    height, width = form.resize
    coarse = torch.rand(size, 3, height // 16, width // 8, generator=rng)
    wide = interpolate(coarse, size=(height, width + 32), mode="bilinear").mul_(255).byte().movedim(1, -1)
    return {
        "frames": [torch.stack([clip[:, 2 * k : 2 * k + width] for k in range(16)]) for clip in wide],
        "view": [random_view(form, np.random.default_rng(k), flip=0.5) for k in range(size)],
        "gvf": torch.rand(size, 512, generator=rng),
        "action": torch.arange(size) % 200,
        "region": torch.arange(size) % 2,
    }


class Step:
    """A model with its optimiser; calling it does one step and returns the loss, on the device."""

    def __init__(
        self, encoder: str, form: EncoderConfig, *, published: bool = False, tensor_cores: bool = False,
        tf32: bool = False, compiled: bool = False,
    ) -> None:  # fmt: skip
        torch.manual_seed(0)
        set_tf32(tf32)
        torch.backends.cudnn.benchmark = True
        self.model = TspModel(getattr(video_resnet, encoder)(), {"action": 200, "region": 2}, 512).to(DEVICE).train()
        trainer = PretrainTrainer(channels_last=tensor_cores)
        self.task = TspTask(self.model, replace(RUN, trainer=trainer), form)
        groups = self.task.param_groups()
        if published:
            for parameter in self.model.parameters():
                parameter.requires_grad_(True)
        if tensor_cores:
            to_channels_last(self.model)
        self.optimizer, self.amp = make_optimizer(groups, trainer), tensor_cores
        if compiled:
            self.model.compile()

    def __call__(self, batch: dict[str, Any]) -> torch.Tensor:
        moved = to_device(batch, DEVICE)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.amp):
            terms = self.task.loss(moved).values()
        loss = sum(t.weight * t.sum / t.count for t in terms)
        loss.backward()
        self.model.features.stem.zero_grad(set_to_none=True)  # the published rate of 0
        self.optimizer.step()
        return loss.detach()


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Seconds of one of `repeats` calls: on a GPU their mean, queued; on a CPU the best, in CPU time."""
    if GPU:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / repeats
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def image_format(pixels: int) -> EncoderConfig:
    """The paper's proportions: 128 x 171 for a crop of 112."""
    size = (pixels * 128 // 112, pixels * 171 // 112)
    return EncoderConfig(factory="tsp.encoders.video_resnet:r2plus1d_34", resize=size, crop=pixels)


def peak_flops(dtype: torch.dtype) -> float:
    n = 8192 if GPU else 1024
    a, b = (torch.randn(n, n, device=DEVICE, dtype=dtype) for _ in range(2))
    set_tf32(False)
    for _ in range(3):
        a @ b
    return 2 * n**3 / seconds(lambda: a @ b, 10)


ROWS: dict[str, dict[str, bool]] = {
    "as published": {"published": True},
    "stem without gradients (ours)": {},
}
GPU_ROWS: dict[str, dict[str, bool]] = {
    **ROWS,
    "and TF32": {"tf32": True},
    "bf16, channels-last": {"tensor_cores": True},
    "and compiled": {"tensor_cores": True, "compiled": True},
}


def compare(encoder: str, size: int, form: EncoderConfig, rows: dict[str, dict[str, bool]]) -> Iterator[str]:
    """Lines of a table: clips per second and losses of each way to take a step.

    Raises:
        SystemExit: leaving out the stem's gradients changed the loss.
    """
    batch = to_device(make_batch(size, form), DEVICE)
    with FlopCounterMode(display=False) as counter:
        Step(encoder, form, published=True)(batch)
    flops = counter.get_total_flops()
    peaks = {amp: peak_flops(torch.bfloat16 if amp else torch.float32) for amp in (False, True)}
    yield f"{encoder}, batch {size}, {form.crop} pixels; {flops / 1e12:.2f} Tflop per step"
    yield f"{'':30} {'loss 1':>8} {'loss n':>8} {'clips/s':>8} {'ratio':>6} {'of peak':>8} {'memory GB':>10}"
    first, losses = 0.0, []
    for title, options in rows.items():
        step = Step(encoder, form, **options)
        if GPU:
            torch.cuda.reset_peak_memory_stats()
        seen = [step(batch)]
        # On a GPU the host runs ahead, as in training, where nothing waits for a single step.
        repeats = 19 if GPU else 3
        seen += [step(batch) for _ in range(2)]
        took = seconds(lambda step=step, seen=seen: seen.append(step(batch)), repeats - 2)
        losses.append([float(seen[0]), float(seen[-1])])
        first = first or took
        memory = f"{torch.cuda.max_memory_allocated() / 1e9:10.1f}" if GPU else f"{'-':>10}"
        share = flops / took / peaks["tensor_cores" in options]
        start, end = losses[-1]
        yield f"{title:30} {start:8.4f} {end:8.4f} {size / took:8.2f} {first / took:6.2f} {share:8.1%} {memory}"
        del step
        if GPU:
            torch.cuda.empty_cache()
    if abs(losses[0][0] - losses[1][0]) > 1e-6 * abs(losses[0][0]):
        sys.exit("error: leaving out the stem's gradients changed the loss")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="r2plus1d_34" if GPU else "r2plus1d_18")
    parser.add_argument("--batch", type=int, default=32 if GPU else 2)
    parser.add_argument("--pixels", type=int, default=112 if GPU else 56)
    args = parser.parse_args()
    if not GPU:
        torch.set_num_threads(1)
    name = torch.cuda.get_device_name() if GPU else "CPU, one thread"
    print(f"on {name}")
    for line in compare(args.encoder, args.batch, image_format(args.pixels), GPU_ROWS if GPU else ROWS):
        print(line, flush=True)


if __name__ == "__main__":
    main()
