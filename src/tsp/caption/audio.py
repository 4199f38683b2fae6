"""Sound features: log-mel patches, then VGGish or statistics that need no weights.

One feature per 0.96 s, 96 frames of 10 ms, no overlap: `[n, 128]`.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Callable
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor, nn

from tsp import __version__
from tsp.encoders.weights import load_state, load_strict
from tsp.errors import TspError
from tsp.io.features import failed_attributes, feature_writer
from tsp.io.files import sha256
from tsp.io.tables import read_metadata
from tsp.names import feature_key
from tsp.progress import progress
from tsp.training.distributed import pick_device
from tsp.video.decode import read_sound
from tsp.video.shards import shard_rows

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]
RATE = 16_000
FRAME, HOP, FFT = 400, 160, 512
BANDS, LOWEST_HZ, HIGHEST_HZ = 64, 125.0, 7500.0
PATCH = 96
WIDTH = 128
OFFSET = 0.01
BATCH = 64
# The filter of resampy's `kaiser_best`: zero crossings on each side, Kaiser's beta, roll-off.
ZEROS, BETA, ROLLOFF = 50, 12.9846, 0.91734737
TIME = "centre of feature i in seconds = (i * stride + clip_length / 2) / fps"
ENCODERS = {
    "vggish": "VGGish",
    "statistics": "log-mel statistics: mean and standard deviation of each band; a substitute, not VGGish",
}


def resample(samples: Floats, rate: int) -> Floats:
    """Resample to 16 kHz with a windowed sinc that passes frequencies below both Nyquist frequencies.

    Args:
        samples: `[n]` at `rate`.
        rate: Hz.

    Returns:
        `[floor(n * 16000 / rate)]`.

    Differs: the released code calls the package resampy; here the same filter is evaluated exactly, not interpolated.
    """
    if rate == RATE or not len(samples):
        return samples
    common = gcd(RATE, rate)
    up, down = RATE // common, rate // common
    # When the rate decreases, frequencies above the new Nyquist frequency are removed.
    scale = min(1.0, up / down)
    reach = int(np.ceil(ZEROS / scale))
    n = len(samples) * up // down
    windows = sliding_window_view(np.pad(samples, (reach, reach + 1)), 2 * reach + 1)
    out = np.empty(n)
    taps = np.arange(-reach, reach + 1)
    for phase in range(min(up, n)):
        first, rest = divmod(phase * down, up)
        # Outputs `up` apart have the same offset to the input samples.
        rows = windows[first::down][: len(range(phase, n, up))]
        out[phase::up] = rows.dot(scale * _filter(np.asarray(scale * (taps - rest / up), dtype=np.float64)))
    return out


def _filter(t: Floats) -> Floats:
    """The windowed sinc at `t` zero crossings from its centre."""
    inside = np.maximum(0.0, 1.0 - (t / ZEROS) ** 2)
    window = np.i0(BETA * np.sqrt(inside)) / np.i0(BETA) * (np.abs(t) <= ZEROS)
    return np.asarray(ROLLOFF * np.sinc(ROLLOFF * t) * window)


@functools.cache
def mel_matrix() -> Floats:
    """`[257, 64]` weights of the bands: triangles on the mel scale, not normalised, zero at 0 Hz."""

    def mel(hz: Floats) -> Floats:
        return np.asarray(1127.0 * np.log1p(hz / 700.0))

    bins = mel(np.linspace(0.0, RATE / 2, FFT // 2 + 1))[:, None]
    low, high = mel(np.array([LOWEST_HZ, HIGHEST_HZ]))
    edges = np.linspace(low, high, BANDS + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[0] = 0.0
    return np.asarray(weights)


def log_mel(samples: Floats) -> Floats:
    """Log-mel patches of sound at 16 kHz.

    Args:
        samples: `[n]` in -1 to 1.

    Returns:
        `[patches, 96, 64]`; an incomplete last patch is dropped; a patch needs 15,600 samples.

    Paper: VGGish (Hershey et al., ICASSP 2017).
    """
    if len(samples) < FRAME:
        return np.zeros((0, PATCH, BANDS))
    frames = sliding_window_view(samples, FRAME)[::HOP]
    frames = frames[: len(frames) // PATCH * PATCH]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    magnitude = np.abs(np.fft.rfft(frames * hann, FFT, axis=1))
    return np.log(magnitude @ mel_matrix() + OFFSET).reshape(-1, PATCH, BANDS)


class Vggish(nn.Module):
    """The VGGish network, with the parameter names of the released PyTorch weights.

    Paper: VGGish (Hershey et al., ICASSP 2017).
    Differs: the pipeline of that release adds PCA and quantisation, which BMT does not use.
    """

    feature_dim = WIDTH

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0):  # 0: pooling
            if width:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        flat = channels * (PATCH // 16) * (BANDS // 16)
        embeddings: list[nn.Module] = []
        for before, after in ((flat, 4096), (4096, 4096), (4096, WIDTH)):
            embeddings += [nn.Linear(before, after), nn.ReLU()]
        self.embeddings = nn.Sequential(*embeddings)

    def forward(self, patches: Tensor) -> Tensor:
        """`[B, 96, 64]` to non-negative `[B, 128]`."""
        maps = self.features(patches[:, None])
        # Flattened as time, band, channel.
        found: Tensor = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))
        return found


def statistics(patches: Floats) -> NDArray[np.float32]:
    """`[n, 128]`: mean and standard deviation over time of each of the 64 bands; the features of the miniature."""
    return np.concatenate([patches.mean(axis=1), patches.std(axis=1)], axis=1).astype(np.float32)


def _network(kind: str, weights: str | Path | None, device: str | None) -> Callable[[Floats], NDArray[np.float32]]:
    if kind == "statistics":
        return statistics
    if weights is None:
        raise TspError("sound features 'vggish' need the network's weights; without them use 'statistics'")
    network = Vggish()
    load_strict(network, load_state(weights), weights)
    target = pick_device(device)
    network.eval().to(target)

    @torch.inference_mode()
    def features(patches: Floats) -> NDArray[np.float32]:
        parts = torch.from_numpy(patches.astype(np.float32)).split(BATCH)
        rows = [network(part.to(target)).float().cpu() for part in parts]
        return np.asarray(torch.cat(rows)) if rows else np.zeros((0, WIDTH), np.float32)

    return features


def extract_sound(
    metadata: Path,
    videos: Path,
    output: Path,
    *,
    kind: str,
    weights: str | Path | None,
    shard: int,
    shards: int,
    shard_size: int,
    device: str | None = None,
) -> None:
    """Sound features of the videos of one shard.

    Args:
        metadata: table of the readable videos.
        videos: folder of the standardised files.
        output: feature file to write; its `fps` is the rate of log-mel frames, 100. Its attribute `failed` lists the
            videos without sound, which have no features.
        kind: `vggish`, or `statistics` of the log-mel patches, a substitute without weights.
        weights: of VGGish.
        shard, shards, shard_size: which rows of the metadata (`shard_rows`).
        device: `cpu`, `cuda`; None: a GPU if available.

    Raises:
        TspError: a file is missing, wrong weights, disk full. A video with damaged sound is listed in `failed`.

    Paper: BMT section 4 (features).
    """
    if kind not in ENCODERS:
        raise TspError(f"sound features {kind!r}: unknown; expected one of {', '.join(ENCODERS)}")
    names = read_metadata(metadata)["filename"].tolist()
    names = [names[row] for row in shard_rows(len(names), shard, shards, shard_size)]
    network = _network(kind, weights, device)
    facts = _facts(kind, weights)
    done, failed = {}, {}
    for name in progress(names, desc="sound", total=len(names), unit="video"):
        try:
            sound = read_sound(videos / name)
        except TspError as error:
            failed[name] = str(error)[:150]
            continue
        if sound is None:
            failed[name] = "no sound"
        else:
            done[name] = network(log_mel(resample(*sound)))
    with feature_writer(output, facts | failed_attributes(failed)) as writer:
        for name, features in done.items():
            writer.write(feature_key(name), features)
    log.info("%d videos, %d without sound features", len(done), len(failed))


def _facts(kind: str, weights: str | Path | None) -> dict[str, Any]:
    facts = {
        "producer": f"tsp {__version__} caption.audio",
        "encoder": ENCODERS[kind],
        "weights_sha256": "none" if weights is None else sha256(weights),
        "stride": PATCH,
        "clip_length": PATCH,
        "fps": RATE / HOP,
        "time": TIME,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return {**facts, "config_hash": digest[:12]}
