"""What a raw file holds: the streams that are used, their time base, and how much of the pictures is lost."""

import contextlib
import math
import statistics
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition
from numpy.typing import NDArray

from tsp.errors import TspError

# Share of the steps that may be no multiple of the usual one at a constant rate; phones and screen recorders exceed it.
IRREGULAR = 0.05
# Pictures at the end that may lack others between them.
REORDERED = 4
# Pictures in a row that make a recording of its own.
LONG = 10
# PyAV reports a stream that appears in the middle of a damaged file as an IndexError.
UNREADABLE = (FFmpegError, IndexError)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A raw file. Second 0 is the earlier start of the two chosen streams, as a player presents them."""

    picture: int
    """Index of the stream of pictures."""
    sound: int | None
    """Index of the stream of sound; None: there is none, or it cannot be decoded."""
    audio: str
    """Of its sound: `none`, `undecodable`, or empty: it is used."""
    codec: str
    """Name of the decoder of the pictures."""
    width: int
    height: int
    offset_s: Fraction
    """Time stamp of second 0, edit lists and priming applied."""
    shift_s: Fraction
    """Second 0, counted from where the container begins."""
    picture_start_s: Fraction
    """Second of the first picture."""
    sound_start_s: Fraction | None
    """Second of the first sound."""
    expected: int
    """Pictures that the file should hold, by its index or its stated length."""
    missing: int
    """Pictures of these that it lacks at its end."""
    corrupt: int
    """Pictures whose data the container marks as damaged."""
    gaps: int
    """Pictures of a constant rate that are missing between others; a pause, unless the file is damaged."""
    joined: bool
    """Whether it is several recordings in one file, each with a clock of its own."""
    cut_short: str
    """How the file is truncated; empty: it is complete."""
    notes: tuple[str, ...]
    """Sentences on what is ignored."""


def examine(path: Path, probesize: str) -> Source:
    """Read a raw file without decoding more than the start of each stream.

    Args:
        path: the file.
        probesize: bytes that are read to detect the format.

    Raises:
        TspError: it has no pictures that can be decoded.
    """
    if path.exists() and not path.is_file():
        raise TspError("is no file")  # reading a pipe would wait indefinitely
    notes: list[str] = []
    with _opened(path, probesize) as container:
        if container.format.name.endswith(("_pipe", "image2")):
            raise TspError("is a picture, not a video")
        begin = Fraction(container.start_time or 0, av.time_base)
        picture, sound = _picture(container, notes), _sound(container)
        if picture is None:
            raise TspError("has no pictures, only sound" if sound else "has no pictures")
        if picture.codec_context is None:
            raise TspError("its pictures cannot be decoded: their codec is unknown")
        index, codec = picture.index, picture.codec_context.codec.name
        size = (picture.codec_context.width, picture.codec_context.height)
        sound_index = None if sound is None else sound.index
        stated = sound.start_time * sound.time_base if sound is not None and sound.start_time is not None else None
        measured = _measured(container, picture)
    first = _first(path, index, probesize)
    if first is None:
        raise TspError("none of its pictures can be decoded")
    heard = None if sound_index is None else _first(path, sound_index, probesize)
    if sound_index is not None and heard is None:
        notes.append("its sound cannot be decoded and is ignored")
    # What cannot be decoded here may be heard elsewhere, so it keeps its part in the time base.
    starts = [s for s in (first, heard if heard is not None else stated) if s is not None]
    zero = min(starts)
    return Source(
        picture=index,
        sound=sound_index if heard is not None else None,
        audio="none" if sound_index is None else "undecodable" if heard is None else "",
        codec=codec,
        width=size[0],
        height=size[1],
        offset_s=zero,
        shift_s=zero - begin,
        picture_start_s=first - zero,
        sound_start_s=None if heard is None else heard - zero,
        notes=tuple(notes),
        **measured,
    )


@contextlib.contextmanager
def _opened(path: Path, probesize: str) -> Any:
    try:
        # The scheme keeps names such as "-x.mp4" or "a:b.mp4" from being parsed as options or protocols.
        with av.open(f"file:{path}", options={"probesize": probesize}) as container:
            yield container
    except (FFmpegError, OSError) as error:
        raise TspError(f"cannot be read as a video ({error.strerror or error})") from error


def _picture(container: Any, notes: list[str]) -> Any:
    """The default stream of pictures; attached pictures, such as covers, are none."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    best = container.streams.best("video")
    if best not in streams:
        best = next((s for s in streams if s.disposition & Disposition.default), streams[0] if streams else None)
    if best is not None and len(container.streams.video) > 1:
        others = [str(s.index) for s in container.streams.video if s is not best]
        notes.append(f"stream {best.index} is used; the pictures of stream {', '.join(others)} are ignored")
    return best


def _sound(container: Any) -> Any:
    """The default stream of sound, or else the first."""
    return container.streams.best("audio") or next(iter(container.streams.audio), None)


def _first(path: Path, index: int, probesize: str) -> Fraction | None:
    """Time stamp of the first picture or sample that is presented; None: nothing can be decoded."""
    untimed = 0
    with _opened(path, probesize) as container:
        stream = container.streams[index]
        if stream.codec_context is None:
            return None
        with contextlib.suppress(*UNREADABLE):
            for packet in container.demux(stream):
                with contextlib.suppress(*UNREADABLE):
                    for frame in packet.decode():
                        if frame.pts is not None:
                            return Fraction(frame.pts * frame.time_base)
                        untimed += 1
                if untimed >= LONG:
                    break
    # A stream without a container, such as `.h264`, has no time stamps; its pictures are counted from zero.
    return Fraction(0) if untimed else None


def _measured(container: Any, stream: Any) -> dict[str, Any]:
    """`expected`, `missing`, `corrupt`, `gaps`, `joined` and `cut_short` of `Source`.

    Packets are read but not decoded. An MP4 file lists every picture in its index. Other containers state a length,
    often an approximate one: more than a second and a twentieth of it must be missing.
    """
    # Before reading: the index of fragmented files grows while they are read.
    listed = len(stream.index_entries) if "mp4" in container.format.name else 0
    # Of a truncated AVI file only the header's count of pictures is that of the whole file.
    length = max(stream.duration or 0, stream.frames) if container.format.name == "avi" else 0
    of_stream = length * stream.time_base if length else None
    stated_s = float(of_stream or (container.duration or 0) / av.time_base)
    found, corrupt, first_s, end_s, stamps, clock = 0, 0, math.inf, -math.inf, [], []
    with contextlib.suppress(*UNREADABLE):  # nothing after a damaged packet can be read
        for packet in container.demux():
            if not packet.size or packet.is_corrupt:
                corrupt += bool(packet.size) and packet.stream.index == stream.index
                continue
            if packet.stream.index == stream.index:
                found += 1
                stamps += [] if packet.pts is None else [packet.pts]
                clock += [] if packet.dts is None else [packet.dts]
            if packet.dts is not None and packet.time_base is not None:
                first_s = min(first_s, float(packet.dts * packet.time_base))
                end_s = max(end_s, float((packet.dts + (packet.duration or 0)) * packet.time_base))
    gaps, step = _gaps(stamps)
    # Matroska states its length from zero, not from its first packet.
    begin_s = 0.0 if "matroska" in container.format.name else first_s
    length_s, missing, short = max(0.0, end_s - begin_s), 0, ""
    if listed > found:
        # Gaps at the cut are pictures that the index lists, too.
        missing, gaps, short = listed - found, 0, f"cut short: {found} of {listed} frames are there"
    elif not listed and stated_s - length_s > max(5.0 if container.format.name == "asf" else 1.0, stated_s / 20):
        rate = float(1 / (step * stream.time_base) if step else stream.average_rate or 30)
        missing = round((stated_s - length_s) * rate)
        short = f"cut short: {length_s:.1f} of {stated_s:.1f} s are there"
    joined = "mpeg" in container.format.name and _restarts(np.asarray(clock) * float(stream.time_base))
    lost = {"expected": found + missing + corrupt, "missing": missing, "corrupt": corrupt, "gaps": gaps}
    return {**lost, "joined": joined, "cut_short": short}


def _restarts(clock_s: NDArray[np.float64]) -> bool:
    """Whether a clock jumps and runs on from there; single wrong time stamps are damage."""
    steps = np.diff(clock_s)
    runs = [run for run in np.split(clock_s, np.flatnonzero(np.abs(steps) > 1) + 1) if len(run) >= LONG]
    return any(later[0] - earlier[-1] < -1 or later[0] - earlier[-1] > 10 for earlier, later in pairwise(runs))


def _gaps(stamps: list[int]) -> tuple[int, float]:
    """Pictures that are missing between those of a constant rate, and the ticks from one to the next."""
    steps = np.diff(np.unique(stamps))
    if len(steps) < 2:
        return 0, 0.0
    usual = float(statistics.median_low(steps.tolist()))
    # A clock of milliseconds rounds each stamp.
    usual = float(steps[np.abs(steps - usual) <= 1].mean())
    periods = np.round(steps / usual)
    irregular = np.abs(steps - periods * usual) > max(1.0, usual * 0.1)
    if irregular.mean() > IRREGULAR:
        return 0, usual
    absent = np.maximum(periods - 1, 0)
    # At the end of a copied part those are missing that would be presented between the last ones.
    end = absent[-REORDERED:]
    end[end < REORDERED] = 0
    return int(absent.sum()), usual


# Messages of ffmpeg about pictures; the first two are about one picture each.
WHOLE = ("corrupt decoded frame", "Error submitting packet to decoder")


def damaged_pictures(messages: str, decoder: str) -> int:
    """How many pictures ffmpeg could not decode, or only in part, by its messages of level `info` and above.

    Args:
        messages: of one run, with `repeat+level+info`.
        decoder: name of the codec of the pictures.
    """
    whole, kinds = 0, Counter[str]()
    for line in messages.splitlines():
        if any(words in line for words in WHOLE) and f"/{decoder}" in line:
            whole += 1
        elif line.startswith(f"[{decoder} @") and ("[error]" in line or "concealing" in line):
            kinds["".join("0" if c.isdigit() else c for c in line.partition("] ")[2])] += 1
    return whole or max(kinds.values(), default=0)


def is_torn(messages: str) -> bool:
    """Whether ffmpeg found the container damaged, so that gaps are losses and no pauses."""
    signs = ("[error]", "corrupt input packet", "Invalid timestamps")
    return any(line.startswith("[in#") and any(s in line for s in signs) for line in messages.splitlines())
