"""Greedy captions of 30 words: cached keys and values against running the whole model for each word, as released.

Network of the TSP variant, 10,173 words, random weights that never end a sentence. A third variant encodes segments
once and runs only the decoder for each word. Sentences must be identical.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from tsp.caption.captioner import Captioner, greedy  # noqa: E402
from tsp.caption.config import CaptionerConfig  # noqa: E402
from tsp.caption.text import END, PADDING, START  # noqa: E402
from tsp.caption.transformer import spread  # noqa: E402

WORDS, LENGTH = 10_173, 30
# Segments of a batch; features of sound and pictures as in a segment of average length (35 s).
CASES = [(1, 37, 33), (16, 37, 33)]


@torch.inference_mode()
def whole_model(model: Captioner, streams: list[torch.Tensor]) -> list[list[int]]:
    words = torch.full((len(streams[0]), 1), START)
    for _ in range(LENGTH):
        words = torch.cat([words, model(*streams, words)[:, -1].argmax(-1, keepdim=True)], dim=1)
    return words[:, 1:].tolist()


@torch.inference_mode()
def whole_decoder(model: Captioner, streams: list[torch.Tensor]) -> list[list[int]]:
    memory = model.memory(*streams)
    words = torch.full((len(streams[0]), 1), START)
    for n in range(1, LENGTH + 1):
        mask = spread(words != PADDING) & torch.ones(n, n, dtype=torch.bool).tril()
        x = model._embed(words, 0)
        for number, layer in enumerate(model.layers):
            x, _ = layer(x, memory, number, mask)
        words = torch.cat([words, model.generator(x).argmax(-1)[:, -1:]], dim=1)
    return words[:, 1:].tolist()


@torch.inference_mode()
def kept(model: Captioner, streams: list[torch.Tensor]) -> list[list[int]]:
    return greedy(model, model.memory(*streams), LENGTH)


def timed(decode: Callable[..., list[list[int]]], *given: object) -> tuple[float, list[list[int]]]:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        found = decode(*given)
        times.append(time.perf_counter() - start)
    return min(times), found


def main() -> None:
    torch.manual_seed(0)
    model = Captioner(128, 512, WORDS, CaptionerConfig(), torch.randn(WORDS, 300)).eval()
    with torch.no_grad():
        for parameter in model.layers.parameters():
            parameter.mul_(2.0)  # words differ from place to place
        model.generator.bias[END] = -1e4
    print(
        f"{'segments':>8} {'whole model':>12} {'decoder only':>13} {'keys kept':>10} {'ratio':>7} {'decoder':>8}   (s)"
    )
    for batch, heard, seen in CASES:
        streams = [torch.rand(batch, heard, 128), torch.randn(batch, seen, 512)]
        streams += [torch.ones(batch, n, dtype=torch.bool) for n in (heard, seen)]
        results = [timed(decode, model, streams) for decode in (whole_model, whole_decoder, kept)]
        if any(found != results[0][1] for _, found in results):
            sys.exit("error: the sentences differ")
        released, decoder, ours = (seconds for seconds, _ in results)
        print(
            f"{batch:8} {released:12.3f} {decoder:13.3f} {ours:10.3f} {released / ours:7.1f} {decoder / ours:8.1f}"
            f"   {len({word for row in results[0][1] for word in row})} different words"
        )


if __name__ == "__main__":
    main()
