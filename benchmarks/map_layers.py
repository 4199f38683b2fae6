"""SGAlign with the convolution behind it: mixed before sampling (the library) against sampled first (the definition).

Forward and backward, float32; each variant in a process of its own, whose peak memory is counted from before the layer.
Options: `--length 100 --batch 1 --device cuda --threads 1`.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from tsp.localise.align import Grid, align_and_mix, operator, to_map  # noqa: E402

CHANNELS, OUT, INNER, CONTEXT, REPEATS = 256, 512, 32, 4, 3


def definition(features: Tensor, context: Tensor, weight: Tensor, bias: Tensor, grid: Grid) -> Tensor:
    """Align, giving `[B, C * S, D, T]`, then convolve."""
    samples = grid.inner + grid.context
    matrix = operator(grid, features.dtype, features.device)[0]
    dense = matrix.to_dense() if matrix.layout == torch.sparse_csr else matrix
    parts = dense.view(-1, grid.length, samples).split([grid.inner, grid.context], dim=2)
    aligned = torch.cat(
        [torch.einsum("ntj,bct->bncj", part, x) for part, x in zip(parts, (features, context), strict=True)], dim=3
    )
    return torch.nn.functional.conv2d(to_map(aligned.flatten(2), grid), weight, bias)


def library(features: Tensor, context: Tensor, weight: Tensor, bias: Tensor, grid: Grid) -> Tensor:
    return to_map(align_and_mix(features, context, weight, bias, grid), grid)


VARIANTS: dict[str, Callable[..., Tensor]] = {"definition": definition, "library": library}


def peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, length: int, batch: int, device: torch.device) -> None:
    grid, layer = Grid(length, length, INNER, CONTEXT, 0.5), VARIANTS[name]
    torch.manual_seed(0)
    shapes = [(batch, CHANNELS, length)] * 2 + [(OUT, CHANNELS * (INNER + CONTEXT), 1, 1), (OUT,)]
    leaves = [(torch.randn(shape) * 0.02).to(device).requires_grad_() for shape in shapes]
    operator(grid, torch.float32, device)
    before, times = peak_mb(device), []
    for _ in range(REPEATS):
        start = time.perf_counter()
        out = layer(*leaves, grid)
        torch.autograd.grad(out.square().sum(), leaves)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    print(min(times), peak_mb(device) - before, float(out.double().square().sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=100, help="snippets T, and durations D")
    parser.add_argument("--batch", type=int, default=1, help="videos")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.variant:
        measure(options.variant, options.length, options.batch, torch.device(options.device))
        return
    found = {}
    for name in VARIANTS:
        command = [sys.executable, __file__, *sys.argv[1:], "--variant", name]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[name] = [float(word) for word in answer.split()]
        seconds, memory, _ = found[name]
        print(f"{name:10}: forward and backward {seconds:8.3f} s, peak memory {memory:8.0f} MB")
    slow, ours = found["definition"], found["library"]
    print(f"ratio: time {slow[0] / ours[0]:.1f}, memory {slow[1] / ours[1]:.1f}; sums of squares differ by "
          f"{abs(slow[2] - ours[2]) / slow[2]:.1e}")  # fmt: skip


if __name__ == "__main__":
    main()
