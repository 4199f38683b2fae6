"""Extraction of clip features; each video is decoded once, in order."""

import functools
import hashlib
import json
import logging
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsp import __version__
from tsp.encoders.build import load_encoder
from tsp.encoders.channels_last import to_channels_last
from tsp.encoders.config import EncoderConfig
from tsp.errors import TspError
from tsp.features.batches import Batches
from tsp.features.config import ExtractConfig
from tsp.features.feed import feed
from tsp.io.features import failed_attributes, feature_writer
from tsp.io.files import atomic, sha256
from tsp.io.tables import read_manifest
from tsp.names import feature_key
from tsp.progress import progress
from tsp.training.distributed import pick_device, set_tf32
from tsp.video.clips import extraction_starts, n_sampled, sampled_frames
from tsp.video.decode import VideoReader
from tsp.video.stream import stream_clips
from tsp.video.transforms import eval_transform, prepare_frames

log = logging.getLogger(__name__)
TIME = "centre of clip i in seconds = (i * stride + clip_length / 2) / fps"
# Files below the work folder from which an interrupted shard resumes.
FINISHED = "*/*.npz"
AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}
Array = NDArray[np.float32]


def extract_shard(
    weights: Path,
    manifest: Path,
    videos: Path,
    output: Path,
    *,
    encoder: EncoderConfig,
    stride: int,
    config: ExtractConfig,
    work: Path,
    workers: int = 0,
    device: str | None = None,
) -> None:
    """Features of the videos of one shard.

    Args:
        weights: encoder.safetensors of a run (heads are ignored) or a released checkpoint.
        manifest: probe manifest of the shard; features are extracted of its usable videos.
        videos: folder of the standardised files; each must have the checksum in the manifest.
        output: feature file to write (docs/formats/features.md). Its attribute `failed` is a JSON object: file name
            of each video without features -> reason (the first 200); `n_failed` counts them.
        encoder: network and clips.
        stride: frames at the clips' rate between the starts of consecutive clips.
        config: batch, precision, treatment of the end of a video and of short videos.
        work: folder for the features of finished videos, to resume an interrupted shard; a video with another
            checksum is extracted again.
        workers: decoding threads in addition to the main thread; the features do not depend on it.
        device: `cpu`, `cuda`...; None: a GPU if available.

    Raises:
        TspError: a file is missing or not the one of the manifest, wrong weights, disk full. A damaged video is
            skipped and listed in `failed`.

    Paper: section 4 (features); tsp.md 9.
    """
    digests = _shard(manifest, videos)
    names = list(digests)
    network = load_encoder(encoder.factory, weights).eval().to(pick_device(device))
    facts = _facts(encoder, weights, stride, config)
    done = {name: work / facts["config_hash"] / f"{feature_key(name)}.npz" for name in names}
    left = [name for name in names if not _is_done(done[name], digests[name])]
    if len(left) < len(names):
        log.info("%d of %d videos are already done", len(names) - len(left), len(names))
    found = extract([videos / name for name in left], network, encoder, stride=stride, config=config, workers=workers)
    failed = _save(progress(found, desc="extract", total=len(left), unit="video"), left, digests, done)
    _write(output, facts, done, failed)
    shutil.rmtree(work, ignore_errors=True)  # including features of other weights
    log.info("%d videos, %d skipped", len(names) - len(failed), len(failed))


def _shard(manifest: Path, videos: Path) -> dict[str, str]:
    """SHA-256 of the usable videos of a manifest by file name."""
    digests = {}
    table = read_manifest(manifest)
    usable = table[table["status"] == "ok"]
    for name, digest in usable[["filename", "sha256"]].itertuples(index=False, name=None):
        again = f"delete {manifest} and the manifest of the same shard in standardise/ to recreate it"
        if not (videos / name).is_file():
            raise TspError(f"{videos / name}: listed in {manifest}, but missing; {again}")
        digests[str(name)] = sha256(videos / name)
        if digest and digests[name] != digest:
            raise TspError(f"{videos / name}: not the video listed in {manifest}; delete it; {again}")
    return digests


def _save(
    found: Iterable[tuple[int, Array | TspError]],
    names: Sequence[str],
    digests: Mapping[str, str],
    files: Mapping[str, Path],
) -> dict[str, str]:
    """Write the features of each video to its file; returns file name -> reason of videos without features."""
    failed: dict[str, str] = {}
    for number, features in found:
        name = names[number]
        if isinstance(features, TspError):
            log.warning("skipped: %s", features)
            failed[name] = str(features)[:150]
            continue
        with atomic(files[name]) as temporary:
            np.savez(temporary, features=features, sha256=digests[name])  # unlike .npy, .npz has checksums
    return failed


def _write(output: Path, facts: dict[str, Any], done: dict[str, Path], failed: dict[str, str]) -> None:
    with feature_writer(output, facts | failed_attributes(failed)) as writer:
        for name, path in done.items():
            if name not in failed:
                writer.write(feature_key(name), _finished(path)[0])


def _finished(path: Path) -> tuple[Array, str]:
    """Features of a finished video, and SHA-256 of the video; an earlier version recorded none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["features"], str(file.get("sha256", ""))
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, ValueError) as error:
        raise TspError(f"{path}: damaged ({error}); delete it and run again") from error


@torch.inference_mode()
def extract(
    paths: Sequence[Path],
    network: nn.Module,
    encoder: EncoderConfig,
    *,
    stride: int,
    config: ExtractConfig,
    workers: int = 0,
    mix: bool | None = None,
) -> Iterator[tuple[int, Array | TspError]]:
    """Features of videos, in order of completion.

    Args:
        paths: the videos.
        network: encoder in eval mode, on its device.
        encoder: format of its clips.
        stride: frames at the clips' rate between the starts of consecutive clips.
        config: batch, precision, treatment of the end of a video and of short videos.
        workers: decoding threads; 0: decode in this thread.
        mix: fill batches with clips of several videos (see `Batches`); None: on a GPU only.

    Yields:
        Number of the video and `[n, C]` float32, n as in `clips.extraction_starts` (one more if the tail is padded), or
        the error of a video without features.
    """
    device = next(network.parameters()).device
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.backends.cudnn.benchmark = True
        set_tf32(config.tf32)
        to_channels_last(network)
    forward = functools.partial(_forward, network, config)
    batches = Batches(forward, config.batch_size, mix=on_gpu if mix is None else mix)
    for number, item in feed(paths, lambda path: _clips(path, encoder, stride, config, device), workers):
        if isinstance(item, Tensor):
            batches.add(number, item)
        elif item is None:
            batches.end(number)
        else:
            batches.drop(number)
            yield number, item
        for video, features in batches.finished():
            yield video, features.float().cpu().numpy()
    for video, features in batches.finished(last=True):
        yield video, features.float().cpu().numpy()


@torch.inference_mode()
def _clips(
    path: Path, encoder: EncoderConfig, stride: int, config: ExtractConfig, device: torch.device
) -> Iterator[Tensor]:
    """Batches `[B, 3, L, h, w]` of one video; the padded clip is a batch of its own."""
    whole = 0
    for batch in stream_clips(
        path,
        lambda frames: prepare_frames(_to(frames, device), encoder),
        stride=stride,
        batch_size=config.batch_size,
        clip_length=encoder.clip_length,
        clip_fps=encoder.fps,
        released_timestamps=config.released_timestamps,
    ):
        whole += len(batch)
        yield batch
    if whole and config.tail == "drop":
        return
    with VideoReader(path) as reader:
        video = (reader.n_frames, float(reader.fps))
        start = padded_start(*video, stride, encoder, config)
        if start is not None:
            numbers = sampled_frames(*video, encoder.fps)
            wanted = numbers[np.minimum(start + np.arange(encoder.clip_length), len(numbers) - 1)]
            clip = _to(torch.from_numpy(reader.frames(wanted)), device)
            yield eval_transform(clip, encoder)[None]
        elif not whole:
            raise TspError(f"{path}: shorter than one clip of {encoder.clip_length} frames at {encoder.fps:g} fps")


def _to(frames: Tensor, device: torch.device) -> Tensor:
    """Frames on the device, without waiting for what it does meanwhile."""
    return frames.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else frames.to(device)


def padded_start(n_frames: int, fps: float, stride: int, encoder: EncoderConfig, config: ExtractConfig) -> int | None:
    """Start of the padded clip, as a position among the frames at the clips' rate; None: no clip is padded.

    Args:
        n_frames: frames of the video.
        fps: its rate.
        stride: frames at the clips' rate between the starts of consecutive clips.
        encoder: length and rate of a clip.
        config: options `tail` and `short`.
    """
    sampled = n_sampled(n_frames, fps, encoder.fps)
    whole = len(extraction_starts(n_frames, fps, stride, encoder.clip_length, encoder.fps))
    if not whole:
        return 0 if config.short == "pad" and sampled else None
    covered = (whole - 1) * stride + encoder.clip_length
    start = whole * stride
    return start if config.tail == "pad" and covered < sampled and start < sampled else None


def _forward(network: nn.Module, config: ExtractConfig, clips: Tensor) -> Tensor:
    if clips.device.type == "cuda":
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
    if config.amp == "off":
        return network(clips)  # type: ignore[no-any-return]
    with torch.autocast(clips.device.type, AMP[config.amp]):
        return network(clips)  # type: ignore[no-any-return]


def _is_done(finished: Path, digest: str) -> bool:
    """Whether there are features of the video with this checksum."""
    return finished.is_file() and _finished(finished)[1] == digest


def _facts(encoder: EncoderConfig, weights: Path, stride: int, config: ExtractConfig) -> dict[str, Any]:
    facts = {
        "stride": stride,
        "fps": encoder.fps,
        "clip_length": encoder.clip_length,
        "encoder": encoder.factory,
        "weights_sha256": sha256(weights),
        **{name: getattr(config, name) for name in ("amp", "tf32", "tail", "short")},
    }
    whole = json.dumps({**facts, **asdict(encoder), **asdict(config)}, sort_keys=True)
    return {
        "producer": f"tsp {__version__} features.extract",
        **facts,
        "config_hash": hashlib.sha256(whole.encode()).hexdigest()[:16],
        "time": TIME,
    }
