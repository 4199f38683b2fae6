"""Cutting a video into clips for feature extraction: decoding once, in order, against clip by clip as published.

Clip by clip: open the file, seek to the key frame before the clip, decode to its last frame, keep 16 of the 31 frames
in its span, transform. One generated video, 60 s, 320 x 240, 30 fps, key frames 250 frames apart (ffmpeg's
default, and what real ActivityNet videos of one shot come out with); no encoder runs. The reference's transform is
written out below in the published order; clips must agree to 1e-5. Times are CPU seconds of one thread, so that other
work on the machine counts less, the best of three. With a file name: the same of that standardised video.
"""

import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch.nn.functional import interpolate

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from tsp.datasets.scenes import KINDS, Look, Scene  # noqa: E402
from tsp.encoders.config import EncoderConfig  # noqa: E402
from tsp.video.clips import extraction_frames  # noqa: E402
from tsp.video.stream import stream_clips  # noqa: E402
from tsp.video.transforms import prepare_frames  # noqa: E402

FPS, SECONDS, SHOT_S, SIZE = 30, 60, 10, (240, 320)
LOOK = EncoderConfig(factory="tsp.encoders.video_resnet:r2plus1d_34")
# Stride, every how many clips the slow way does, ratio to reach.
REPEATS = 3  # the best counts
CASES = [(16, 1, 3), (1, 40, 10)]


def make_video(path: Path) -> None:
    look = Look(size=SIZE, speed=200.0, object_radius=40.0, shake=4.0, noise=6.0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": "250", "sc_threshold": "0", "crf": "23"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(SECONDS // SHOT_S):
            scene = Scene(KINDS[number % len(KINDS)], look, SHOT_S, [(1.0, SHOT_S - 1.0)], [number])
            for k in range(SHOT_S * FPS):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(scene.frame(k / FPS), format="rgb24")))
        container.mux(stream.encode())


def clip_by_clip(path: Path, row: np.ndarray) -> torch.Tensor:
    """One clip as the published pipeline reads it: all frames of its span are converted, then subsampled."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        ticks = 1 / Fraction(FPS) / stream.time_base
        first, last = int(row[0] * ticks), int(row[-1] * ticks)
        container.seek(first, stream=stream, backward=True)
        span = []
        for frame in container.decode(stream):
            if frame.pts >= first:
                span.append(frame.to_ndarray(format="rgb24"))
            if frame.pts >= last:
                break
    return published_transform(torch.from_numpy(np.stack(span)[row - row[0]]))


def published_transform(clip: torch.Tensor) -> torch.Tensor:
    """To [0, 1], resize, normalise, centre crop: `[L, H, W, 3]` uint8 to `[3, L, h, w]`."""
    images = interpolate(clip.permute(0, 3, 1, 2).float() / 255, size=LOOK.resize, mode="bilinear", align_corners=False)
    images = (images - torch.tensor(LOOK.mean).view(3, 1, 1)) / torch.tensor(LOOK.std).view(3, 1, 1)
    top, left = (round((length - LOOK.crop) / 2) for length in LOOK.resize)
    return images[..., top : top + LOOK.crop, left : left + LOOK.crop].transpose(0, 1)


def decode_once(path: Path, stride: int, n: int, expected: dict[int, torch.Tensor]) -> float:
    """Seconds for all clips; stops the program where one differs."""
    number, seconds, start = 0, 0.0, time.process_time()
    for batch in stream_clips(path, lambda frames: prepare_frames(frames, LOOK), stride=stride, batch_size=32):
        seconds += time.process_time() - start
        for clip in batch:
            if number in expected and not torch.allclose(clip, expected[number], rtol=0, atol=1e-5):
                sys.exit(f"error: clip {number} differs")
            number += 1
        start = time.process_time()
    if number != n:
        sys.exit(f"error: {number} clips instead of {n}")
    return seconds + time.process_time() - start


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4" if len(sys.argv) < 2 else Path(sys.argv[1])
        if len(sys.argv) < 2:
            make_video(path)
        with av.open(str(path)) as container:
            keys = [p.is_keyframe for p in container.demux(container.streams.video[0]) if p.size]
        print(f"{len(keys)} frames, {sum(keys)} key frames, {path.stat().st_size / 2**20:.1f} MiB")
        print(f"{'stride':>6} {'clips':>6} {'clip by clip':>13} {'decode once':>12} {'ratio':>6} {'target':>6}   (s)")
        missed = False
        for stride, step, target in CASES:
            rows = extraction_frames(len(keys), FPS, stride)
            some = rows[::step]
            slow, fast = 1e9, 1e9
            for _ in range(REPEATS):
                start = time.process_time()
                expected = [clip_by_clip(path, row) for row in some]
                slow = min(slow, (time.process_time() - start) * len(rows) / len(some))
                fast = min(
                    fast,
                    decode_once(path, stride, len(rows), dict(zip(range(0, len(rows), step), expected, strict=True))),
                )
            note = f"   clip by clip from {len(some)} clips, extrapolated" if step > 1 else ""
            print(f"{stride:6} {len(rows):6} {slow:13.2f} {fast:12.2f} {slow / fast:6.1f} {target:6}{note}")
            missed |= slow / fast < target
    if missed:
        sys.exit("error: a target is missed")


if __name__ == "__main__":
    main()
