"""The files of the campaign: containers, codecs, rates, starts, gaps, sound formats, damage and names."""

import itertools
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media.drawing import base, ffmpeg

Make = Callable[["Sources", Path], None]
H264 = ("-c:v", "libx264", "-crf", 12, "-g", 60, "-pix_fmt", "yuv420p")
# Container -> its codecs of pictures and sound.
CONTAINERS: dict[str, tuple[Any, ...]] = {
    "mp4": (*H264, "-c:a", "aac"),
    "frag.mp4": (*H264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+delay_moov"),
    "mov": (*H264, "-c:a", "aac"),
    "mkv": (*H264, "-c:a", "aac"),
    "webm": ("-c:v", "libvpx", "-b:v", "1M", "-c:a", "libopus"),
    "ts": (*H264, "-c:a", "aac"),
    "m2ts": (*H264, "-c:a", "ac3"),
    "flv": (*H264, "-c:a", "aac"),
    "avi": ("-c:v", "mpeg4", "-q:v", 2, "-c:a", "mp3"),
    "wmv": ("-c:v", "wmv2", "-q:v", 2, "-c:a", "wmav2"),
    "ogv": ("-c:v", "libtheora", "-q:v", 8, "-c:a", "libvorbis"),
    "3gp": (*H264, "-c:a", "aac"),
    "mpg": ("-c:v", "mpeg2video", "-q:v", 2, "-c:a", "mp2"),
}
CODECS = {
    "h264.mkv": H264,
    "hevc.mp4": ("-c:v", "libx265", "-x265-params", "log-level=error", "-crf", 12, "-pix_fmt", "yuv420p"),
    "mpeg4.mp4": ("-c:v", "mpeg4", "-q:v", 2),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-q:v", 2),
    "mpeg1.mpg": ("-c:v", "mpeg1video", "-q:v", 2, "-c:a", "mp2"),
    "vp8.mkv": ("-c:v", "libvpx", "-b:v", "1M"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-b:v", "1M", "-deadline", "realtime", "-c:a", "libvorbis"),
    "mjpeg.avi": ("-c:v", "mjpeg", "-q:v", 2, "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"),
    "ffv1.mkv": ("-c:v", "ffv1", "-pix_fmt", "yuv420p", "-c:a", "flac"),
    "prores.mov": ("-c:v", "prores", "-c:a", "pcm_s16le"),
    "wmv1.avi": ("-c:v", "wmv1", "-q:v", 2, "-c:a", "mp3"),
    "flv1.flv": ("-c:v", "flv1", "-q:v", 2, "-c:a", "mp3"),
    "msmpeg4.avi": ("-c:v", "msmpeg4", "-q:v", 2, "-c:a", "mp3"),
    "h264_10.mkv": ("-c:v", "libx264", "-crf", 12, "-pix_fmt", "yuv420p10le"),
    "h264_422.mp4": ("-c:v", "libx264", "-crf", 12, "-pix_fmt", "yuv422p"),
    "h264_444.mp4": ("-c:v", "libx264", "-crf", 12, "-pix_fmt", "yuv444p"),
    "h264_b.ts": ("-c:v", "libx264", "-crf", 12, "-bf", 4, "-pix_fmt", "yuv420p"),
    "h264_intra.mp4": ("-c:v", "libx264", "-crf", 12, "-g", 1, "-pix_fmt", "yuv420p"),
    "interlaced.mp4": ("-c:v", "libx264", "-crf", 12, "-flags", "+ildct+ilme", "-x264-params", "tff=1"),
    "interlaced.ts": ("-c:v", "mpeg2video", "-q:v", 2, "-flags", "+ildct+ilme"),
    "sar.mp4": (*H264, "-vf", "setsar=4/3"),
    "sar.mkv": (*H264, "-vf", "setsar=16/15"),
    "gif.gif": (),
}
RATES = ("12", "15", "24000/1001", "24", "25", "30000/1001", "48", "50", "60")
SIZES = ((193, 96), (192, 97), (193, 97))
SOUNDS = (
    *(("aac", "mp4", rate, n) for rate, n in itertools.product((8_000, 22_050, 44_100, 48_000, 96_000), (1, 2))),
    *(("aac", "mkv", 48_000, 6), ("ac3", "mkv", 48_000, 6), ("eac3", "mp4", 48_000, 2), ("mp2", "ts", 48_000, 2)),
    *(
        ("mp3", "mp4", 44_100, 2),
        ("mp3", "mkv", 22_050, 1),
        ("libopus", "webm", 48_000, 2),
        ("libopus", "mp4", 48_000, 1),
    ),
    *(
        ("libvorbis", "mkv", 44_100, 2),
        ("flac", "mkv", 96_000, 2),
        ("flac", "mp4", 44_100, 1),
        ("alac", "mov", 44_100, 2),
    ),
    *(("pcm_s16le", "avi", 44_100, 2), ("pcm_s24le", "mov", 48_000, 2), ("pcm_f32le", "mkv", 48_000, 1)),
    *(("pcm_mulaw", "mov", 8_000, 1), ("pcm_u8", "avi", 11_025, 1), ("wmav2", "wmv", 44_100, 2)),
)
NAMES = (
    *("-dash.mp4", "with space.mp4", "a:b.mp4", "100%d.mp4", "ünïcödé 視頻.mp4", "quote'\".mp4", "semi;colon,=.mp4"),
    *("$(touch x).mp4", "new\nline.mp4", f"{'l' * 200}.mp4", "UPPER.MP4", "none", "wrong.avi", "dots.in.name.mp4"),
)


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of the campaign."""

    kind: str
    name: str
    make: Make
    fps: float = 30.0
    """Pictures per second of the source."""
    sound: bool = True
    refused: bool = False
    """Whether it cannot be used: no pictures, or damage above the tolerance."""
    damaged: bool = False
    """Whether it may be refused, or used with its damage stated."""
    turned: bool = False
    """Whether the numbers stand on a side, so that only size and time are verified."""
    starts: tuple[float, float] | None = (0.0, 0.0)
    """Seconds by which pictures and sound are late, by construction; None: not known before."""


class Sources:
    """Lossless sources by rate, size and sampling rate, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, fps: str = "30", size: tuple[int, int] = (192, 96), rate: int = 44_100) -> Path:
        """The source."""
        path = self.folder / f"source-{fps.replace('/', '_')}-{size[0]}x{size[1]}-{rate}.nut"
        return path if path.exists() else base(path, fps, size=size, rate=rate)


def encoded(*options: Any, **source: Any) -> Make:
    """Encode a source with these options of ffmpeg."""
    return lambda sources, path: _to(path, "-i", sources.get(**source), *options)


def late(pictures: float, sound: float, *options: Any) -> Make:
    """Encode with pictures and sound that begin so many seconds late."""

    def make(sources: Sources, path: Path) -> None:
        source = sources.get()
        inputs = ("-itsoffset", pictures, "-i", source, "-itsoffset", sound, "-i", source, "-map", "0:v", "-map", "1:a")
        _to(path, *inputs, *options, "-fps_mode", "passthrough")

    return make


def _to(path: Path, *arguments: Any) -> None:
    ffmpeg(*arguments, f"file:{path}")


def cut(seconds: float, container: str) -> Make:
    """Copy the packets from so many seconds on, as a cutting tool does."""

    def make(sources: Sources, path: Path) -> None:
        whole = path.with_name("whole." + path.name.rpartition(".")[2])
        ffmpeg("-i", sources.get(), *CONTAINERS[container], whole)
        _to(path, "-ss", seconds, "-i", whole, "-c", "copy")

    return make


def without(kind: str, first: float, last: float, *options: Any) -> Make:
    """Encode without the pictures or the sound of a stretch of time; what follows keeps its time."""
    chosen = f"not(between(t,{first},{last}))"
    words = ("-vf", f"select='{chosen}'") if kind == "v" else ("-af", f"aselect='{chosen}'")
    return encoded(*words, *options, "-fps_mode", "passthrough")


def changed(container: str, change: Callable[[bytearray, random.Random], bytes]) -> Make:
    """Damage the bytes of a file."""

    def make(sources: Sources, path: Path) -> None:
        extra = ("-movflags", "faststart") if container == "mp4" else ()
        whole = path.with_name("whole." + container)
        ffmpeg("-i", sources.get(), *CONTAINERS[container], *extra, whole)
        path.write_bytes(change(bytearray(whole.read_bytes()), random.Random(path.name)))

    return make


def zeroed(share: float) -> Callable[[bytearray, random.Random], bytes]:
    """Zero a stretch in the middle."""

    def change(data: bytearray, chances: random.Random) -> bytes:
        first = int(len(data) * (0.6 - share / 2))
        data[first : first + int(len(data) * share)] = bytes(int(len(data) * share))
        return bytes(data)

    return change


def all_files() -> Iterator[File]:
    """Every file, in a fixed order."""
    for name, options in CONTAINERS.items():
        yield File(kind="container", name=f"plain.{name}", make=encoded(*options), starts=None)
    for name in ("mp4", "frag.mp4", "mov", "mkv", "webm", "ts", "m2ts", "flv", "ogv", "3gp"):
        for pictures, sound in ((0.0, 2.0), (2.0, 0.0), (1.5, 3.0), (0.0, 0.35)):
            path = f"late-{pictures:g}-{sound:g}.{name}"
            yield File(
                kind="late start", name=path, make=late(pictures, sound, *CONTAINERS[name]), starts=(pictures, sound)
            )
    for name, options in CODECS.items():
        silent = name.endswith(".gif")
        made = encoded(*options, "-r", 25) if silent else encoded(*options)
        yield File(kind="codec", name=name, make=made, sound=not silent, fps=25.0 if silent else 30.0, starts=None)
    for fps in RATES:
        above, _, below = fps.partition("/")
        for name in ("mp4", "mkv"):
            path = f"rate-{above}-{below or 1}.{name}"
            rate = float(above) / float(below or 1)
            yield File(kind="rate", name=path, make=encoded(*CONTAINERS[name], fps=fps), fps=rate, starts=None)
    for name in ("mp4", "mkv", "ts"):
        vfr = ("-vf", r"select='eq(mod(n\,7)\,0)+eq(mod(n\,7)\,3)+eq(mod(n\,11)\,5)'", "-fps_mode", "passthrough")
        yield File(kind="rate", name=f"vfr.{name}", make=encoded(*CONTAINERS[name], *vfr), fps=8.0, starts=None)
    yield from _geometry()
    for name, seconds in itertools.product(("mp4", "mov", "mkv", "ts"), (1.3, 3.7, 5.05)):
        yield File(kind="cut", name=f"cut-{seconds:g}.{name}", make=cut(seconds, name), starts=None)
    for name in ("mp4", "mov", "mkv", "ts", "flv"):
        for kind in "va":
            gap = without(kind, 4.0, 5.5, *CONTAINERS[name])
            yield File(kind="gap", name=f"gap-{kind}.{name}", make=gap, starts=None)
    yield from _sounds()
    yield from _streams()
    yield from _clocks()
    yield from _damage()
    for number, name in enumerate(NAMES):
        yield File(
            kind="name", name=name, make=encoded(*CONTAINERS["mp4"], "-f", "mp4", rate=16_000 + number), starts=None
        )


def _geometry() -> Iterator[File]:
    for size in SIZES:
        for name, form in (
            ("mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv420p")),
            ("mp4", ("-c:v", "libx264", "-pix_fmt", "yuv444p")),
        ):
            yield File(
                kind="size",
                name=f"{size[0]}x{size[1]}.{name}",
                make=encoded(*form, "-c:a", "aac", size=size),
                starts=None,
            )
    for angle in (90, 180, 270):

        def turned(sources: Sources, path: Path, angle: int = angle) -> None:
            whole = path.with_name("whole.mp4")
            ffmpeg("-i", sources.get(), *CONTAINERS["mp4"], whole)
            _to(path, "-display_rotation", angle, "-i", whole, "-c", "copy")

        yield File(kind="size", name=f"turned-{angle}.mp4", make=turned, turned=True, starts=None)


def _sounds() -> Iterator[File]:
    for codec, name, rate, channels in SOUNDS:
        video = CONTAINERS["webm"][:4] if name == "webm" else CONTAINERS["wmv"][:4] if name == "wmv" else H264
        words = (*video, "-c:a", codec, "-ac", channels, "-ar", rate)
        strict = ("-strict", "experimental")
        path = f"{codec}-{rate}-{channels}.{name}"
        yield File(kind="sound", name=path, make=encoded(*words, *strict, rate=rate), starts=None)


def _streams() -> Iterator[File]:
    for name in ("mp4", "mkv", "avi"):
        yield File(
            kind="streams", name=f"mute.{name}", make=encoded(*CONTAINERS[name][:-2], "-an"), sound=False, starts=None
        )
    for name in ("m4a", "mp3", "wav"):
        yield File(kind="streams", name=f"sound.{name}", make=encoded("-vn"), refused=True)

    def two_tracks(sources: Sources, path: Path) -> None:
        quiet = ("-f", "lavfi", "-i", "anullsrc=r=44100:d=12")
        maps = ("-map", "0:v", "-map", "1:a", "-map", "0:a", "-disposition:a:0", 0, "-disposition:a:1", "default")
        _to(path, "-i", sources.get(), *quiet, *maps, *H264, "-c:a", "aac")

    def cover(sources: Sources, path: Path) -> None:
        still = ("-f", "lavfi", "-i", "color=c=red:s=640x360:d=0.04")
        maps = (
            "-map",
            "1:v",
            "-map",
            "0:v",
            "-map",
            "0:a",
            "-c:v:0",
            "mjpeg",
            "-pix_fmt:v:0",
            "yuvj420p",
            "-c:v:1",
            "libx264",
        )
        flags = ("-disposition:v:0", "attached_pic", "-disposition:v:1", "default", "-c:a", "aac", "-frames:v:0", 1)
        _to(path, "-i", sources.get(), *still, *maps, "-pix_fmt:v:1", "yuv420p", *flags)

    def unknown_sound(sources: Sources, path: Path) -> None:
        _to(path, "-i", sources.get(), *CONTAINERS["mp4"])
        path.write_bytes(path.read_bytes().replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"))

    def unknown_pictures(sources: Sources, path: Path) -> None:
        _to(path, "-i", sources.get(), *CONTAINERS["mp4"])
        path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzz"))

    yield File(kind="streams", name="unknown-pictures.mp4", make=unknown_pictures, refused=True)
    for name in ("mp4", "mkv"):
        yield File(kind="streams", name=f"two-tracks.{name}", make=two_tracks, starts=None)
        yield File(kind="streams", name=f"cover.{name}", make=cover, starts=None)
    yield File(kind="streams", name="unknown-sound.mp4", make=unknown_sound, sound=False, starts=None)


def _clocks() -> Iterator[File]:
    def joined(sources: Sources, path: Path) -> None:
        part = path.with_name("part.ts")
        ffmpeg("-i", sources.get(), "-t", 5, *CONTAINERS["ts"], part)
        path.write_bytes(part.read_bytes() * 2)

    yield File(kind="streams", name="joined.ts", make=joined, starts=None)
    wrap = ("-output_ts_offset", (1 << 33) / 90_000 - 5, *CONTAINERS["ts"])
    yield File(kind="streams", name="wrap.ts", make=encoded(*wrap), starts=None)


def _damage() -> Iterator[File]:
    for name in ("mp4", "mkv", "webm", "avi", "flv", "ts"):
        for share in (0.01, 0.35):
            yield File(kind="damage", name=f"zero-{share:g}.{name}", make=changed(name, zeroed(share)), damaged=True)
    for name in ("mp4", "mkv", "webm", "avi", "flv"):
        half = changed(name, lambda data, chances: bytes(data[: len(data) // 2]))
        yield File(kind="damage", name=f"half.{name}", make=half, refused=True)
    for name, content in {
        "empty.mp4": b"",
        "text.mp4": b"<html>sign in</html>" * 40,
        "random.mkv": bytes(range(256)) * 40,
    }.items():

        def write(sources: Sources, path: Path, content: bytes = content) -> None:
            path.write_bytes(content)

        yield File(kind="damage", name=name, make=write, refused=True)


def buildable(file: File, sources: Sources, path: Path) -> str | None:
    """Make a file; why this ffmpeg cannot, or None."""
    try:
        file.make(sources, path)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return str(error)
    return None if path.is_file() else "no file"
