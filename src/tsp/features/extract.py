"""Extract clip features: each video decoded once, in order."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsp import __version__
from tsp.encoders.config import EncoderConfig
from tsp.encoders.weights import load_encoder
from tsp.errors import TspError
from tsp.features.config import ExtractConfig
from tsp.io.features import feature_writer
from tsp.io.files import atomic, sha256
from tsp.io.tables import read_metadata
from tsp.progress import progress
from tsp.video.decode import VideoReader
from tsp.video.shards import shard_rows
from tsp.video.stream import stream_clips
from tsp.video.transforms import eval_transform, prepare_frames

log = logging.getLogger(__name__)
TIME = "centre of clip i in seconds = (i * stride + clip_length / 2) / fps"
AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}


def extract_shard(
    weights: Path,
    metadata: Path,
    videos: Path,
    output: Path,
    *,
    encoder: EncoderConfig,
    stride: int,
    config: ExtractConfig,
    work: Path,
    shard: int,
    shards: int,
    shard_size: int,
    device: str | None = None,
) -> None:
    """Features of the videos of one shard.

    Args:
        weights: encoder.safetensors of a run (heads are ignored) or a released checkpoint.
        metadata: table of the usable videos.
        videos: folder of the standardised files.
        output: feature file to write (docs/formats/features.md).
        encoder: network and clips.
        stride: frames at the clips' rate between the starts of consecutive clips.
        config: batch, precision, short videos.
        work: folder for finished videos of an interrupted shard.
        shard, shards, shard_size: which rows of the metadata (`shard_rows`).
        device: `cpu`, `cuda`...; None: a GPU if there is one.

    Raises:
        TspError: wrong weights, disk full. A damaged video is left out and named in the attribute `failed`.

    Paper: section 4 (features); tsp.md 9.
    """
    names = read_metadata(metadata)["filename"].tolist()
    rows = shard_rows(len(names), shard, shards, shard_size)
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network = load_encoder(encoder.factory, weights).eval().to(target)
    facts = _facts(encoder, weights, stride, config)
    folder = work / f"{facts['weights_sha256'][:12]}-{shard}"
    failed = []
    for name in progress(names[rows.start : rows.stop], desc="extract", unit="video"):
        finished = folder / f"{_stem(name)}.npy"
        if finished.exists():
            continue
        try:
            features = video_features(network, videos / name, encoder, stride=stride, config=config)
        except TspError as error:
            log.warning("left out: %s", error)
            failed.append(name)
            continue
        with atomic(finished) as temporary:
            np.save(temporary, features)
    with feature_writer(output, {**facts, "failed": "\n".join(failed)}) as writer:
        for name in names[rows.start : rows.stop]:
            if name not in failed:
                writer.write(_stem(name), np.load(folder / f"{_stem(name)}.npy", allow_pickle=False))
    for path in folder.glob("*.npy"):
        path.unlink()
    log.info("%d videos, %d left out", len(rows) - len(failed), len(failed))


@torch.inference_mode()
def video_features(
    network: nn.Module, path: Path, encoder: EncoderConfig, *, stride: int, config: ExtractConfig
) -> np.ndarray[Any, Any]:
    """Features of one video.

    Args:
        network: encoder in eval mode.
        path: the video.
        encoder: its clips.
        stride: frames at the clips' rate between the starts of consecutive clips.
        config: batch, precision, short videos.

    Returns:
        `[n, C]` float32, n as in `clips.extraction_frames`.

    Raises:
        TspError: the video is damaged.
    """
    device = next(network.parameters()).device
    clips = stream_clips(
        path,
        lambda frames: prepare_frames(frames.to(device), encoder),
        stride=stride,
        batch_size=config.batch_size,
        clip_length=encoder.clip_length,
        clip_fps=encoder.fps,
    )
    done = [_forward(network, batch, config) for batch in clips]
    if not done and config.short == "pad":
        log.warning("%s: shorter than a clip; its last frame is repeated", path)
        done = [_forward(network, _padded(path, encoder).to(device), config)]
    if not done:
        raise TspError(f"{path}: shorter than one clip of {encoder.clip_length} frames at {encoder.fps:g} fps")
    return torch.cat(done).float().cpu().numpy()


def _forward(network: nn.Module, clips: Tensor, config: ExtractConfig) -> Tensor:
    if config.amp == "off":
        return network(clips)  # type: ignore[no-any-return]
    with torch.autocast(clips.device.type, AMP[config.amp]):
        return network(clips)  # type: ignore[no-any-return]


def _padded(path: Path, encoder: EncoderConfig) -> Tensor:
    with VideoReader(path) as reader:
        q = float(reader.fps) / encoder.fps
        wanted = np.minimum((np.arange(encoder.clip_length) * q).astype(int), reader.n_frames - 1)
        frames = torch.from_numpy(reader.frames(wanted))
    return eval_transform(frames, encoder)[None]


def _facts(encoder: EncoderConfig, weights: Path, stride: int, config: ExtractConfig) -> dict[str, Any]:
    return {
        "producer": f"tsp {__version__} features.extract",
        "stride": stride,
        "fps": encoder.fps,
        "clip_length": encoder.clip_length,
        "encoder": encoder.factory,
        "weights_sha256": sha256(weights),
        "amp": config.amp,
        "time": TIME,
    }


def _stem(filename: str) -> str:
    return filename.rsplit(".", 1)[0]
