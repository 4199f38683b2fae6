"""Sound features: log-mel patches, then VGGish or statistics that need no weights.

One feature per 0.96 s, 96 frames of 10 ms, no overlap: `[n, 128]`.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
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
from tsp.video.shards import shard_rows
from tsp.video.sound import SoundReader

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]
RATE = 16_000
FRAME, HOP, FFT = 400, 160, 512
BANDS, LOWEST_HZ, HIGHEST_HZ = 64, 125.0, 7500.0
PATCH = 96
WIDTH = 128
OFFSET = 0.01
BATCH = 64
# Resampling copies every sample some 300 times.
CHUNK_S = 1
# The filter of resampy's `kaiser_best`: zero crossings on each side, Kaiser's beta, roll-off.
ZEROS, BETA, ROLLOFF = 50, 12.9846, 0.91734737
TIME = "centre of feature i in seconds = (i * stride + clip_length / 2) / fps"
ENCODERS = {
    "vggish": "VGGish",
    "statistics": "log-mel statistics: mean and standard deviation of each band; a substitute, not VGGish",
}


class Resampler:
    """Resampling to 16 kHz with a windowed sinc that passes frequencies below both Nyquist frequencies.

    Args:
        rate: of the samples, Hz.

    Differs: the released code calls the package resampy; here the same filter is evaluated exactly, not interpolated.
    """

    def __init__(self, rate: int) -> None:
        common = gcd(RATE, rate)
        self.up, self.down = RATE // common, rate // common
        # When the rate decreases, frequencies above the new Nyquist frequency are removed.
        self.scale = min(1.0, self.up / self.down)
        self.reach = 0 if rate == RATE else int(np.ceil(ZEROS / self.scale))
        self._waiting: Floats = np.zeros(self.reach)
        self._read = self._written = 0
        # Outputs `up` apart have the same offset to the input samples.
        self._first, rest = np.divmod(np.arange(self.up) * self.down, self.up)
        taps = np.arange(-self.reach, self.reach + 1) - rest[:, None] / self.up
        self._filters = self.scale * _filter(self.scale * taps)

    def push(self, samples: Floats) -> Floats:
        """`[n]` samples to those at 16 kHz that no later sample changes."""
        self._read += len(samples)
        if not self.reach:
            return samples
        self._waiting = np.concatenate([self._waiting, samples])
        periods = max(0, len(self._waiting) - 2 * self.reach - 1) // self.down
        return self._pop(periods * self.up, periods * self.down)

    def end(self) -> Floats:
        """The remaining samples; `floor(n * 16000 / rate)` in all."""
        if not self.reach:
            return np.zeros(0)
        self._waiting = np.pad(self._waiting, (0, self.reach + 1))
        return self._pop(self._read * self.up // self.down - self._written, 0)

    def _pop(self, n: int, used: int) -> Floats:
        """Compute `n` samples, the first at the start of a period, and forget the first `used` waiting ones."""
        out = np.empty(n)
        if n:
            windows = sliding_window_view(self._waiting, 2 * self.reach + 1)
            for phase in range(min(self.up, n)):
                rows = windows[self._first[phase] :: self.down][: len(range(phase, n, self.up))]
                out[phase :: self.up] = rows.dot(self._filters[phase])
        self._waiting = self._waiting[used:]
        self._written += n
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


def patches(blocks: Iterable[Floats], rate: int) -> Iterator[Floats]:
    """Log-mel patches of sound of any length, 64 at a time.

    Args:
        blocks: `[n]` samples in -1 to 1.
        rate: of the samples, Hz.

    Yields:
        `[64, 96, 64]`, the last one shorter; their concatenation is `log_mel` of the resampled sound.
    """
    resampler, sound = Resampler(rate), np.zeros(0)
    step = BATCH * PATCH * HOP
    for block in _chunks(blocks, rate * CHUNK_S):
        sound = np.concatenate([sound, resampler.push(block)])
        while len(sound) >= step + FRAME:
            yield log_mel(sound[: step + FRAME - HOP])
            sound = sound[step:]
    rest = log_mel(np.concatenate([sound, resampler.end()]))
    yield from (rest[first : first + BATCH] for first in range(0, len(rest), BATCH))


def _chunks(blocks: Iterable[Floats], least: int) -> Iterator[Floats]:
    """The same samples in blocks of at least so many, the last one excepted."""
    waiting: list[Floats] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= least:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


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
        found = network(torch.from_numpy(patches.astype(np.float32)).to(target))
        return np.asarray(found.float().cpu())

    return features


def sound_features(path: Path, network: Callable[[Floats], NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """Features of the sound of one file, read in blocks.

    Args:
        path: a standardised video.
        network: `[n, 96, 64]` patches to `[n, 128]`.

    Returns:
        `[n, 128]`; None: the file has no sound.

    Raises:
        TspError: its sound cannot be decoded.
    """
    if not SoundReader.has_sound(path):
        return None
    with SoundReader(path) as reader:
        parts = [network(batch) for batch in patches(reader.mono(), reader.rate)]
        if reader.errors:
            log.warning("%s: %d packets of sound cannot be decoded and are silence", path, reader.errors)
    return np.concatenate(parts) if parts else np.zeros((0, WIDTH), np.float32)


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
            found = sound_features(videos / name, network)
        except TspError as error:
            failed[name] = str(error)[:150]
            continue
        if found is None:
            failed[name] = "no sound"
        else:
            done[name] = found
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
