"""The files of the miniature data set: videos of generated scenes in several containers, and their annotations."""

import logging
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tsp.datasets.scenes import KINDS, Kind, Look, Scene
from tsp.datasets.synthetic import ODD_NAMES, Format, SyntheticConfig, format_of, plan
from tsp.io.annotations import write_annotations
from tsp.io.files import atomic
from tsp.io.sources import FIRST, write_facts
from tsp.io.store import Store
from tsp.names import ACTIVITYNET, file_name
from tsp.progress import progress
from tsp.types import Video

log = logging.getLogger(__name__)
SOUND_HZ = 16_000
MILLISECOND = Fraction(1, 1000)
FAST = {
    "libx264": {"preset": "ultrafast"},
    # In its real-time mode this encoder adapts to the load, so the file would depend on it.
    "libvpx": {"deadline": "good", "cpu-used": "5"},
    "aac": {"aac_coder": "fast"},
}


def render(
    config: SyntheticConfig,
    folder: Path,
    annotations: Path,
    workers: int,
    *,
    code: str = "",
    facts: Path | None = None,
    token: str = FIRST,
) -> None:
    """Render the videos into `folder` and write `annotations`; files that would be the same again are kept.

    Args:
        config: what to render.
        folder: of the rendered files; `source` of a video is the path of its file.
        annotations: canonical annotations; `captions` holds segments and sentences.
        workers: number of processes.
        code: digest of the code of this step; other code renders all files again.
        facts: file to write: the rendered files, for the planner (`tsp.io.sources`); None: not written.
        token: the planner's token of this job.
    """
    videos, store = plan(config, folder), Store(folder)
    made_by = {"code": code, "av": av.__version__, "libavcodec": list(av.library_versions["libavcodec"])}
    wanted = {Path(v.source).name: _identity(v, k, config) | made_by for k, v in enumerate(videos)}
    listed = videos + (_faulty(config, folder) if config.faults else [])
    for name in store.names():
        if name not in {Path(v.source).name for v in listed}:
            store.remove(name)
    unrecorded = sum(store.path(name).exists() and store.recorded(name) is None for name in wanted)
    if unrecorded:
        log.warning("%d videos had no record of what they show and are rendered again", unrecorded)
    numbers = [k for k, v in enumerate(videos) if not store.is_current(name := Path(v.source).name, wanted[name])]
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(max(1, workers)) as pool:
        jobs = pool.map(_render_one, [videos[k] for k in numbers], numbers, [config] * len(numbers), chunksize=4)
        for k, _ in zip(numbers, progress(jobs, desc="render", total=len(numbers), unit="video"), strict=True):
            name = Path(videos[k].source).name
            store.record(name, wanted[name])
    write_annotations(annotations, listed)
    if facts is not None:
        write_facts(facts, token, {v.source: store.content(Path(v.source).name) for v in listed})
    log.info("%d videos in %s, %d of them rendered now", len(listed), folder, len(numbers))


def _identity(video: Video, number: int, config: SyntheticConfig) -> dict[str, Any]:
    """What the content of a file depends on; the number of videos changes none of them."""
    form, sound = _form_and_sound(video, number, config)
    spans = [(s.start_s, s.end_s, s.label) for s in video.segments]
    return {"seed": config.seed, "seconds": video.duration_s, "actions": spans, "format": _name(form), "sound": sound}


def _faulty(config: SyntheticConfig, folder: Path) -> list[Video]:
    """A dead link and a file that is not a video, annotated like all others."""
    like = replace(plan(config, folder)[len(ODD_NAMES)], extra={"captions": []})
    dead, broken = (
        replace(like, name=name, filename=file_name(name, ACTIVITYNET), source=str(folder / f"{name}.mp4"))
        for name in ("dead_link", "broken_file")
    )
    store, name = Store(folder), Path(broken.source).name
    if not store.is_current(name, {"seed": config.seed}):
        with atomic(store.path(name)) as temporary:
            temporary.write_bytes(np.random.default_rng(config.seed).bytes(20_000))
        store.record(name, {"seed": config.seed})
    return [dead, broken]


def _form_and_sound(video: Video, number: int, config: SyntheticConfig) -> tuple[Format, bool]:
    index = int(video.name.rsplit("_", 1)[-1]) if "_" in video.name else number
    return format_of(index, config), index % 3 != 2 and config.kind == "untrimmed"


def _name(form: Format) -> str:
    return f"{form.suffix} {form.video} {form.audio} {form.fps}"


def _render_one(video: Video, number: int, config: SyntheticConfig) -> None:
    kind = next(k for k in KINDS if k.label == video.segments[0].label)
    spans = [(s.start_s, s.end_s) for s in video.segments]
    assert video.duration_s is not None
    scene = Scene(kind, Look(), video.duration_s, spans, [config.seed, zlib.crc32(video.name.encode())])
    form, sound = _form_and_sound(video, number, config)
    with atomic(Path(video.source)) as temporary:
        encode(temporary, form, scene, video.duration_s, _sound(kind, spans, video) if sound else None)


def _sound(kind: Kind, spans: list[tuple[float, float]], video: Video) -> NDArray[np.float32]:
    """`[n]` samples: a low hum, and the pitch of the class during its actions."""
    assert video.duration_s is not None
    t = np.arange(int(video.duration_s * SOUND_HZ)) / SOUND_HZ
    loud = np.zeros_like(t)
    for start, end in spans:
        loud[(t >= start) & (t < end)] = 0.25
    return np.asarray(0.02 * np.sin(2 * np.pi * 55 * t) + loud * np.sin(2 * np.pi * kind.pitch_hz * t), np.float32)


def encode(path: Path, form: Format, scene: Scene, seconds: float, sound: NDArray[np.float32] | None) -> None:
    """Write one file: frames at the rate of the format (or at uneven times), and the sound, if any."""
    height, width = scene.look.size
    with av.open(f"file:{path}", "w", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream(form.video, rate=form.fps or 30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = 1 / form.fps if form.fps else MILLISECOND
        stream.codec_context.bit_rate = 800_000
        stream.options = FAST.get(form.video, {})
        audio: Any = None
        if sound is not None:
            audio = container.add_stream(form.audio, rate=SOUND_HZ, options=FAST.get(form.audio, {}))
        for t, pts, base in _times(form.fps, seconds, scene.noise_seed):
            frame = av.VideoFrame.from_ndarray(scene.frame(t), format="rgb24")
            frame.pts, frame.time_base = pts, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None and sound is not None:
            _mux_sound(container, audio, sound)


def _times(fps: Fraction, seconds: float, seed: int) -> list[tuple[float, int, Fraction]]:
    """Time, timestamp and time base of every frame."""
    if fps:
        return [(float(k / fps), k, 1 / fps) for k in range(int(seconds * fps))]
    # 20 to 50 ms apart, as in files of screen recorders and phones.
    steps = np.random.default_rng(seed).integers(20, 51, int(seconds * 50))
    stamps = np.concatenate([[0], np.cumsum(steps)])
    return [(stamp / 1000, stamp, MILLISECOND) for stamp in stamps[stamps < seconds * 1000].tolist()]


def _mux_sound(container: Any, stream: Any, sound: NDArray[np.float32]) -> None:
    frame = av.AudioFrame.from_ndarray(sound[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_HZ, 0, Fraction(1, SOUND_HZ)
    resampler = av.AudioResampler(
        format=stream.format.name, layout=stream.layout.name, rate=stream.rate, frame_size=stream.frame_size or 1024
    )
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(stream.encode(part))
    container.mux(stream.encode())
