"""P-GCN: one training iteration in reduced form (the library) against the dense adjacency; graphs of a data set.

32 videos x 8 roots x 21 nodes, paper widths, float32, dropout off, loss, gradients and the optimiser's step; each
variant in a process of its own; its peak memory excludes the batch and the network. The dense definition is that of
the released code: similarities of all nodes of the batch with each other, one adjacency matrix, both layers on all
nodes. Options: `--videos 8 --channels 512 --device cuda --threads 1`.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from tsp.localise.pgcn.graphs import GraphNetwork, neighbour_slots  # noqa: E402
from tsp.localise.pgcn.method import Config, Pgcn, PgcnTask  # noqa: E402
from tsp.training.optim import make_optimizer  # noqa: E402

CLASSES, ROOTS, CHILDREN, NODES, REPEATS = 20, 8, 4, 21, 3
TEST_VIDEOS, PROPOSALS = 212, 1000
# On one CPU core, at the default sizes.
FASTER, FEWER_OPERATIONS, GRAPH_SECONDS = 10.0, 20.0, 10.0


def dense_network(network: GraphNetwork, x: Tensor) -> Tensor:
    """Both layers on all nodes of the batch, `[R, 21, F]` to `[R, F]`."""
    flat = x.flatten(0, 1)
    norms = flat.norm(dim=1).clamp_min(1e-8)
    similarity = (flat @ flat.T) / (norms[:, None] * norms)
    kept = torch.zeros_like(similarity)
    first = torch.arange(len(x), device=x.device)[:, None] * NODES
    for s in range(1 + CHILDREN):
        kept[first + s, first + 1 + CHILDREN * s + torch.arange(CHILDREN, device=x.device)] = 1 / CHILDREN
    adjacency = similarity.relu_().mul_(kept)
    rows = (first + torch.arange(1 + CHILDREN, device=x.device)).flatten()
    adjacency[rows, rows] = 1
    hidden = torch.relu(adjacency @ (flat @ network.weight1) + network.bias1)
    return (adjacency @ (hidden @ network.weight2) + network.bias2)[::NODES]


class DensePgcn(Pgcn):
    """The network as the definition reads."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        course = x[..., self.channels : 2 * self.channels]
        return self._heads(x[:, 0], dense_network(self.act, course), dense_network(self.comp, x))


VARIANTS = {"definition": DensePgcn, "library": Pgcn}


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
    """Print seconds, peak memory, counted operations of one iteration, its loss, and the weights after it."""
    device, config = torch.device(options.device), Config(graph_dropout=0.0, dropout=0.0)
    torch.manual_seed(0)
    model = VARIANTS[options.variant](options.channels, CLASSES, config).to(device)
    task = PgcnTask(model, config)
    optimizer = make_optimizer(task.param_groups(), config.trainer)
    rows = (options.videos, ROOTS)
    batch = {
        "features": torch.rand(*rows, NODES, 3 * options.channels),
        "label": torch.randint(1, 1 + CLASSES, rows),
        "type": torch.tensor([0, 1, 1, 1, 1, 1, 1, 2]).expand(rows),
        "used": torch.ones(rows, dtype=torch.bool),
        "target": torch.randn(*rows, 2),
    }
    batch["label"][:, 7] = 0
    batch = {name: x.to(device) for name, x in batch.items()}
    model(batch["features"][:1, 0])
    times, first = [], None
    before = memory_mb(device, "VmRSS")
    forget_peak(device)
    for _ in range(1 + (REPEATS if options.variant == "library" else 0)):
        start = time.perf_counter()
        loss = iterate(task, optimizer, batch)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        first = first or (loss, *(float(p.detach().double().square().sum()) for p in model.parameters()))
    memory = memory_mb(device, "VmHWM") - before
    with FlopCounterMode(display=False) as counter:
        iterate(task, optimizer, batch)
    print(min(times), memory, counter.get_total_flops(), *first)


def iterate(task: PgcnTask, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor]) -> float:
    terms = task.loss(batch).values()
    loss = sum(term.sum / term.count * term.weight for term in terms)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def graphs() -> float:
    """Neighbour slots of as many proposals as THUMOS14's test videos have."""
    rng = np.random.default_rng(0)
    videos = []
    for _ in range(TEST_VIDEOS):
        length = np.exp(rng.normal(4.5, 1.0, PROPOSALS)).clip(5, 5000)
        # Generators propose around the same actions again and again.
        centre = rng.choice(rng.uniform(0, 6000, 30), PROPOSALS) + rng.normal(0, 30, PROPOSALS)
        videos.append(np.stack([centre - length / 2, centre + length / 2 + 1], axis=1).astype(np.int64))
    start = time.perf_counter()
    slots = [neighbour_slots(segments) for segments in videos]
    spent = time.perf_counter() - start
    near = np.mean([(s[:, 0] != np.arange(len(s))).mean() for s in slots])
    print(f"graphs of {TEST_VIDEOS} videos x {PROPOSALS} proposals: {spent:.2f} s "
          f"({near:.0%} of the proposals have a contextual neighbour)")  # fmt: skip
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=32, help="videos of a batch")
    parser.add_argument("--channels", type=int, default=1024, help="D: 1024 for an I3D stream, 512 for TSP")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.variant:
        measure(options)
        return
    spent = graphs()
    faster, fewer = compare()
    missed = spent > GRAPH_SECONDS or fewer < FEWER_OPERATIONS or (options.device == "cpu" and faster < FASTER)
    if missed:
        wanted = f"{FASTER:g} times faster, {FEWER_OPERATIONS:g} times fewer operations, graphs in {GRAPH_SECONDS:g} s"
        sys.exit(f"error: targets missed: {wanted}")


def compare() -> tuple[float, float]:
    found = {}
    for name in VARIANTS:
        command = [sys.executable, __file__, *sys.argv[1:], "--variant", name]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[name] = [float(word) for word in answer.split()]
        spent, memory, operations = found[name][:3]
        print(f"{name:10}: iteration {spent:8.3f} s, peak memory {memory:7.0f} MB, {operations / 1e9:8.1f} GFLOP")
    slow, ours = found["definition"], found["library"]
    apart = max(abs(a - b) / a for a, b in zip(slow[3:], ours[3:], strict=True))
    print(f"ratio: time {slow[0] / ours[0]:.1f}, memory {slow[1] / ours[1]:.1f}, operations {slow[2] / ours[2]:.1f}; "
          f"loss and sums of squares of the weights after the step differ by {apart:.1e}")  # fmt: skip
    return slow[0] / ours[0], slow[2] / ours[2]


if __name__ == "__main__":
    main()
