"""The map layers with the convolution behind them: mixed before sampling (the library) against sampled first.

SGAlign of G-TAD and the boundary-matching layer of BMN. Forward and backward, float32, paper widths; each variant in a
process of its own; its peak memory excludes the input and the gradient of the output. CPU seconds on a CPU, which are
insensitive to other jobs. Options: `--layer matching --length 100 --batch 1 --device cuda --threads 1`.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from tsp.localise.maps import align, matching, sampling  # noqa: E402

CHANNELS, OUT, INNER, CONTEXT, BINS, REPEATS = 256, 512, 32, 4, 32, 3


def dense(matrix: Tensor) -> Tensor:
    return matrix.to_dense() if matrix.layout == torch.sparse_csr else matrix


class Align:
    """SGAlign."""

    def __init__(self, length: int, batch: int, device: torch.device) -> None:
        self.grid = align.AlignmentGrid(length, length, INNER, CONTEXT, 0.5)
        self.matrix = align.operator(self.grid, torch.float32, device)[0]
        self.shapes = [(batch, CHANNELS, length)] * 2 + [(OUT, CHANNELS * (INNER + CONTEXT), 1, 1), (OUT,)]

    def definition(self, features: Tensor, context: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Align, giving `[B, C * S, D, T]`, then convolve."""
        grid = self.grid
        parts = dense(self.matrix).view(-1, grid.length, grid.inner + grid.context).split([grid.inner, grid.context], 2)
        aligned = torch.cat(
            [torch.einsum("ntj,bct->bncj", part, x) for part, x in zip(parts, (features, context), strict=True)], dim=3
        )
        return torch.nn.functional.conv2d(align.to_map(aligned.flatten(2), grid), weight, bias)

    def library(self, features: Tensor, context: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return align.to_map(align.align_and_mix(features, context, weight, bias, self.grid), self.grid)


class Matching:
    """The boundary-matching layer."""

    def __init__(self, length: int, batch: int, device: torch.device) -> None:
        self.grid = matching.MatchingGrid(length, length, BINS, "start_end", "next")
        a = matching.operator(self.grid, torch.float32, device)[0]
        self.shapes = [(batch, CHANNELS, length), (OUT, CHANNELS, BINS, 1, 1), (OUT,)]
        self.a = a

    def prepare(self) -> None:
        """The constant `[T, S * T * T]` that the released code keeps among the weights."""
        cells = dense(self.a).view(1, -1, self.grid.length * BINS)
        full = sampling.to_map(cells, self.grid.valid).view(self.grid.length, BINS, self.grid.length, self.grid.length)
        self.sample = full.flatten(1).contiguous()

    def definition(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Sample, giving `[B, P, S, T, T]`, then convolve: the two lines of the released code."""
        length = self.grid.length
        sampled = torch.matmul(features, self.sample).view(len(features), CHANNELS, BINS, length, length)
        return torch.nn.functional.conv3d(sampled, weight, bias, stride=(BINS, 1, 1)).squeeze(2)

    def library(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return sampling.to_map(matching.match_and_mix(features, weight, bias, self.grid), self.grid.valid)


LAYERS: dict[str, Callable[..., Align | Matching]] = {"align": Align, "matching": Matching}
# Ratios of time and memory to reach at T = 100 with 2 videos on a CPU; SGAlign has none of its own.
TARGETS = {"matching": (10, 15)}
VARIANTS = ("definition", "library")


def memory_mb(device: torch.device, kind: str) -> float:
    """Memory in use (`VmRSS`) or its largest value since `forget_peak` (`VmHWM`); Linux."""
    if device.type == "cuda":
        used = torch.cuda.memory_allocated if kind == "VmRSS" else torch.cuda.max_memory_allocated
        return used() / 2**20
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(kind))


def forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    Path("/proc/self/clear_refs").write_text("5")


def measure(options: argparse.Namespace) -> None:
    device = torch.device(options.device)
    layer = LAYERS[options.layer](options.length, options.batch, device)
    if options.variant == "definition" and isinstance(layer, Matching):
        layer.prepare()
    forward = getattr(layer, options.variant)
    torch.manual_seed(0)
    leaves = [(torch.randn(shape) * 0.02).to(device).requires_grad_() for shape in layer.shapes]
    gradient = torch.randn(options.batch, OUT, options.length, options.length).to(device)
    clock = perf_counter if device.type == "cuda" else process_time
    before, times = memory_mb(device, "VmRSS"), []
    forget_peak(device)
    for _ in range(REPEATS):
        out = grads = None
        start = clock()
        out = forward(*leaves)
        grads = torch.autograd.grad(out, leaves, gradient)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - start)
    memory = memory_mb(device, "VmHWM") - before
    print(min(times), memory, *(float(x.double().square().sum()) for x in (out, *grads)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layer", choices=LAYERS, help="one of them; default: both")
    parser.add_argument("--length", type=int, default=100, help="snippets T, and durations D")
    parser.add_argument("--batch", type=int, default=2, help="videos")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.variant:
        measure(options)
        return
    for layer in [options.layer] if options.layer else LAYERS:
        compare(layer)


def compare(layer: str) -> None:
    print(LAYERS[layer].__doc__)
    found = {}
    for name in VARIANTS:
        command = [sys.executable, __file__, *sys.argv[1:], "--layer", layer, "--variant", name]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[name] = [float(word) for word in answer.split()]
        print(f"  {name:10}: forward and backward {found[name][0]:8.3f} s, peak memory {found[name][1]:8.0f} MB")
    slow, ours = found["definition"], found["library"]
    ratios = slow[0] / ours[0], slow[1] / ours[1]
    apart = max(abs(a - b) / a for a, b in zip(slow[2:], ours[2:], strict=True))
    print(f"  ratio: time {ratios[0]:.1f}, memory {ratios[1]:.1f}; sums of squares differ by {apart:.1e}")
    for what, found_ratio, target in zip(("time", "memory"), ratios, TARGETS.get(layer, ()), strict=False):
        print(f"  target {what} {target}: {'reached' if found_ratio >= target else 'MISSED'}")


if __name__ == "__main__":
    main()
