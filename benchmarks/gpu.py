"""What a GPU does with the paper's sizes, and what it needs to be fed; writes docs/performance_gpu.md.

Needs a CUDA device and is skipped without one. Every table compares, in this run, the published way with the options of
this project. Options: `--only tsp extraction localisers feed`, `--output FILE`.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(Path(__file__).parent)]

from extraction import make_video  # noqa: E402
from training import DEVICE, GPU_ROWS, compare, image_format, make_batch, peak_flops, seconds  # noqa: E402

from tsp.caption.captioner import Captioner, smoothed_loss  # noqa: E402
from tsp.caption.config import CaptionerConfig  # noqa: E402
from tsp.encoders.channels_last import to_channels_last  # noqa: E402
from tsp.encoders.video_resnet import ENCODERS  # noqa: E402
from tsp.features.config import ExtractConfig  # noqa: E402
from tsp.features.extract import extract  # noqa: E402
from tsp.io.tables import SEGMENT_COLUMNS, write_table  # noqa: E402
from tsp.localise import bmn, gtad  # noqa: E402
from tsp.localise.pgcn.method import Config as PgcnConfig  # noqa: E402
from tsp.localise.pgcn.method import Pgcn, PgcnTask  # noqa: E402
from tsp.pretrain.config import RunConfig  # noqa: E402
from tsp.pretrain.data import ClipDataset, network_input  # noqa: E402
from tsp.training.distributed import set_tf32  # noqa: E402
from tsp.training.loader import to_device  # noqa: E402
from tsp.training.optim import make_optimizer  # noqa: E402

PAGE = ROOT / "docs/performance_gpu.md"
FORM = image_format(112)


def card() -> Iterator[str]:
    """The peaks of the card, measured."""
    bf16, single = (peak_flops(dtype) / 1e12 for dtype in (torch.bfloat16, torch.float32))
    yield f"products of bf16 matrices {bf16:.0f} Tflop/s, of float32 {single:.0f} Tflop/s"


def equal() -> Iterator[str]:
    """The transforms of a batch on the GPU against those on the CPU."""
    batch = make_batch(8, FORM)
    apart = (network_input(to_device(batch, DEVICE), FORM).cpu() - network_input(batch, FORM)).abs().max()
    yield f"network input from bytes, GPU against CPU: largest difference {float(apart):.1e} (limit 1e-5)"
    if apart > 1e-5:
        raise ValueError("the transforms on the GPU differ from those on the CPU")


def tsp() -> Iterator[str]:
    """Training steps of TSP."""
    for encoder in ("r3d_18", "r2plus1d_34"):
        yield from compare(encoder, 32, FORM, GPU_ROWS)
        yield ""


def extraction() -> Iterator[str]:
    """Forward passes of clips that are on the card already."""
    yield f"{'R(2+1)D-34, batch 32':30} {'clips/s':>8} {'ratio':>6} {'apart':>8}"
    rows = {
        "float32, as published": (False, False, False),
        "TF32": (True, False, False),
        "bf16, channels-last": (False, True, True),
    }
    first, expected = 0.0, torch.zeros(())
    torch.manual_seed(0)
    clips = network_input(to_device(make_batch(32, FORM), DEVICE), FORM)
    for title, (tf32, last, bf16) in rows.items():
        torch.manual_seed(0)
        set_tf32(tf32)
        network = ENCODERS["r2plus1d_34"]().to(DEVICE).eval()
        if last:
            to_channels_last(network)
        given = clips.contiguous(memory_format=torch.channels_last_3d) if last else clips
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=bf16):
            found = network(given).float()
            network(given)
            spent = seconds(lambda network=network, given=given: network(given), 10)
        if not first:
            first, expected = spent, found
        apart = float((found - expected).norm() / expected.norm())
        yield f"{title:30} {32 / spent:8.0f} {first / spent:6.2f} {apart:8.1e}"


def map_batch(config: Any, targets: Callable[..., dict[str, Tensor]], size: int, channels: int) -> dict[str, Tensor]:
    rng = np.random.default_rng(0)
    rows = [targets(np.sort(rng.random((2, 2)), axis=1), config) for _ in range(size)]
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return {"features": torch.randn(size, channels, config.length), **batch}


def pgcn_batch(size: int, channels: int, classes: int) -> dict[str, Tensor]:
    rows = (size, 8)
    label = torch.randint(1, 1 + classes, rows)
    label[:, 7] = 0
    kinds = torch.tensor([0, 1, 1, 1, 1, 1, 1, 2]).expand(rows)
    shape = (*rows, 21, 3 * channels)
    return {"features": torch.rand(shape), "label": label, "type": kinds, "used": torch.ones(rows, dtype=torch.bool),
            "target": torch.randn(*rows, 2)}  # fmt: skip


def total(terms: Mapping[str, Any]) -> Tensor:
    """The loss of a task's terms."""
    return sum((t.sum / t.count * t.weight for t in terms.values()), torch.zeros((), device=DEVICE))


class Captions:
    """Next-word loss of the captioner, as a task."""

    def __init__(self, words: int = 10_173) -> None:
        self.config = CaptionerConfig()
        self.model = Captioner(128, 512, words, self.config, torch.randn(words, 300))

    def param_groups(self) -> list[dict[str, Any]]:
        return [{"params": [p for p in self.model.parameters() if p.requires_grad], "lr": self.config.lr}]

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        streams = (batch[name] for name in ("audio", "video", "audio_mask", "video_mask"))
        total, count = smoothed_loss(self.model(*streams, batch["words"][:, :-1]), batch["words"][:, 1:], 0.7)
        return total / count

    def batch(self, size: int) -> dict[str, Tensor]:
        made = {"audio": torch.rand(size, 37, 128), "video": torch.randn(size, 33, 512)}
        masks = {f"{name}_mask": torch.ones(x.shape[:2], dtype=torch.bool) for name, x in made.items()}
        return made | masks | {"words": torch.randint(5, 10_000, (size, 20))}


def downstream() -> dict[str, Callable[[], tuple[Any, Any, dict[str, Tensor], Any]]]:
    """By name: task, its trainer's options, batch, loss of a batch."""

    def mapped(module: Any, network: Any, task: Any) -> Callable[[], tuple[Any, Any, dict[str, Tensor], Any]]:
        def make() -> tuple[Any, Any, dict[str, Tensor], Any]:
            config = module.Config()
            made = task(network(512, config), config)
            batch = map_batch(config, module.targets, config.trainer.batch_size, 512)
            return made, config.trainer, batch, lambda x: total(made.loss(x))

        return make

    def pgcn() -> tuple[Any, Any, dict[str, Tensor], Any]:
        config = PgcnConfig()
        made = PgcnTask(Pgcn(512, 200, config), config)
        batch = pgcn_batch(config.trainer.batch_size, 512, 200)
        return made, config.trainer, batch, lambda x: total(made.loss(x))

    def captioner() -> tuple[Any, Any, dict[str, Tensor], Any]:
        made = Captions()
        return made, made.config.trainer, made.batch(made.config.trainer.batch_size), made.loss

    return {
        "G-TAD": mapped(gtad, gtad.Gtad, gtad.GtadTask),
        "BMN": mapped(bmn, bmn.Bmn, bmn.BmnTask),
        "P-GCN": pgcn,
        "BMT captioner": captioner,
    }


def localisers() -> Iterator[str]:
    """Training steps of the downstream methods at the paper's sizes."""
    yield f"{'training steps':30} {'batch':>6} {'float32/s':>10} {'TF32/s':>8} {'bf16/s':>8} {'loss':>8} {'in bf16':>8}"
    for name, make in downstream().items():
        speeds, losses = [], []
        for tf32, bf16 in ((False, False), (True, False), (False, True)):
            torch.manual_seed(0)
            set_tf32(tf32)
            task, trainer, batch, loss_of = make()
            task.model.to(DEVICE).train()
            moved, optimizer = to_device(batch, DEVICE), make_optimizer(task.param_groups(), trainer)
            seen: list[Tensor] = []

            def step() -> None:
                optimizer.zero_grad(set_to_none=True)  # noqa: B023
                with torch.autocast("cuda", torch.bfloat16, enabled=bf16):  # noqa: B023
                    loss = loss_of(moved)  # noqa: B023
                loss.backward()
                optimizer.step()  # noqa: B023
                seen.append(loss.detach())  # noqa: B023

            for _ in range(3):
                step()
            speeds.append(1 / seconds(step, 10))
            losses.append(float(seen[0]))
        rates = f"{speeds[0]:10.1f} {speeds[1]:8.1f} {speeds[2]:8.1f}"
        yield f"{name:30} {trainer.batch_size:6} {rates} {losses[0]:8.4f} {losses[2]:8.4f}"


def clips_per_s(data: ClipDataset, count: int) -> float:
    order = np.random.default_rng(0).permutation(len(data))[:count].tolist()
    start = time.process_time()
    for k in order:
        data[k]
    return count / (time.process_time() - start)


def feed() -> Iterator[str]:
    """Clips that one core decodes, and extraction from files with decoding threads."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as top:
        videos = [Path(top) / f"v_{k}.mp4" for k in range(8)]
        make_video(videos[0])
        for path in videos[1:]:
            path.write_bytes(videos[0].read_bytes())
        table = Path(top) / "segments.csv"
        row = {"filename": "v_0.mp4", "fps": 30.0, "t-start": 0.0, "t-end": 60.0, "video-duration": 60.0,
               "video-frames": 1800, "action-label": "a", "temporal-region-label": "Action"}  # fmt: skip
        write_table(pd.DataFrame([{name: row.get(name, "") for name in SEGMENT_COLUMNS}]), table)
        run = RunConfig(encoder="x", clips_per_segment=60)
        data = ClipDataset(table, top, run=run, encoder=FORM, labels=["a"], training=True)
        per_core = clips_per_s(data, 60)
        yield f"training clips of a generated video of 320 x 240, key frames 250 apart: {per_core:.0f} clips/s per core"
        yield "cores that a card needs in training: its clips/s below divided by that"
        network = ENCODERS["r2plus1d_34"]().to(DEVICE).eval()
        cores = len(os.sched_getaffinity(0))
        for _ in range(2):  # the first run compiles and tunes
            start, clips = time.perf_counter(), 0
            found = extract(videos, network, FORM, stride=16, config=ExtractConfig(amp="bf16"), workers=cores - 1)
            for _, features in found:
                clips += len(features)  # type: ignore[arg-type]
            spent = time.perf_counter() - start
        yield f"extraction of 8 such videos, stride 16, {cores} cores, bf16: {clips / spent:.0f} clips/s"


SECTIONS = {"card": card, "equal": equal, "extraction": extraction, "localisers": localisers, "feed": feed, "tsp": tsp}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--output", type=Path, default=PAGE)
    args = parser.parse_args()
    if DEVICE.type != "cuda":
        print("skipped: PyTorch finds no CUDA device; docs/performance_gpu.md is left as it is")
        return
    page = [
        "# Performance on a GPU", "",
        "**For** people who plan GPU days.", "**You get** what `make gpu` measured.", "", "## Reference", "",
        f"- {torch.cuda.get_device_name()}, {len(os.sched_getaffinity(0))} cores; torch {torch.__version__}; "
        f"{datetime.now(UTC):%Y-%m-%d}", "", "```text",
    ]  # fmt: skip
    failed = []
    for name in args.only:
        try:
            for line in SECTIONS[name]():
                print(line, flush=True)
                page.append(line)
                args.output.write_text("\n".join([*page, "```", ""]))
        except (Exception, SystemExit):  # what else was measured is worth keeping
            traceback.print_exc()
            failed.append(name)
    if failed:
        sys.exit(f"error: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
