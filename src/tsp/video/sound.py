"""Decoding of sound, placed on the time base of a file by its time stamps."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from tsp.errors import TspError

Samples = NDArray[np.int16]
# Containers with a clock of milliseconds round every time stamp; only a larger difference is a gap.
TOLERANCE_S = 0.04
SILENCE = 1 << 20


class SoundReader:
    """The sound of a file in blocks: sample n is heard at second n / `rate`, and what has no sound is silence.

    Time stamps place the samples: where they leave more than 40 ms without sound, silence is inserted; samples that
    overlap earlier ones by more than that, or precede `zero_s`, are dropped. Priming samples and edit lists are
    applied by the demuxer. Packets that cannot be decoded leave a gap.

    Args:
        path: the file.
        stream: index of the stream; None: the default one.
        zero_s: time stamp of the file that is second 0.
        probesize: bytes read to find the streams; None: the default of ffmpeg. An index counts those found with it.

    Attributes:
        rate: samples per second.
        channels: number of channels.
        errors: packets that could not be decoded so far.

    Raises:
        TspError: the file cannot be opened, has no such sound, or there is no decoder for it.
    """

    def __init__(
        self, path: str | Path, stream: int | None = None, zero_s: float = 0.0, probesize: str | None = None
    ) -> None:
        self.path, self.zero_s, self.errors = Path(path), zero_s, 0
        self._options = {} if probesize is None else {"probesize": probesize}
        self._container, self._stream = self._open(stream)
        # The header may state neither rate nor layout.
        first = next(self._frames(), None)
        self._container.close()
        if first is None:
            raise TspError(f"{path}: its sound cannot be decoded")
        self.rate, self._layout = int(first.sample_rate), first.layout
        self.channels = int(first.layout.nb_channels)
        self._container, self._stream = self._open(stream)
        self.errors = 0

    def _open(self, index: int | None) -> tuple[Any, Any]:
        try:
            container = av.open(f"file:{self.path}", options=self._options)
        except (FFmpegError, OSError) as error:
            raise TspError(f"{self.path}: cannot be opened ({error})") from error
        streams = container.streams
        best = streams.best("audio") or next(iter(streams.audio), None)
        found = best if index is None else streams[index] if index < len(streams) else None
        if found is None or found.type != "audio" or not found.codec_context:
            container.close()
            raise TspError(f"{self.path}: has no sound that can be decoded")
        return container, found

    @classmethod
    def has_sound(cls, path: str | Path) -> bool:
        """Whether a file has a stream of sound, decodable or not."""
        try:
            with av.open(f"file:{path}") as container:
                return bool(container.streams.audio)
        except (FFmpegError, OSError) as error:
            raise TspError(f"{path}: cannot be opened ({error})") from error

    def blocks(self) -> Iterator[Samples]:
        """Blocks `[channels, n]` of 16 bit samples from second 0 to the end of the sound."""
        return _joined(0, np.zeros((self.channels, 0), np.int16), self.runs())

    def mono(self) -> Iterator[NDArray[np.float64]]:
        """Blocks `[n]` in -1 to 1: the mean of the channels."""
        return (block.mean(axis=0) / 32768.0 for block in self.blocks())

    def runs(self) -> Iterator[tuple[int, Samples]]:
        """Position in samples after second 0, and samples `[channels, n]`, ascending and without overlap.

        Raises:
            TspError: nothing of the sound can be decoded.
        """
        end, tolerance = 0, int(TOLERANCE_S * self.rate)
        begun = False
        for stamp_s, samples in self._decoded():
            start = end if stamp_s is None else round((stamp_s - self.zero_s) * self.rate)
            if (begun or end) and abs(start - end) <= tolerance:
                start = end
            begun = True
            if start < end:
                samples, start = samples[:, end - start :], end
            if samples.shape[1]:
                yield start, samples
                end = start + samples.shape[1]
        if not begun:
            raise TspError(f"{self.path}: its sound cannot be decoded")

    def _decoded(self) -> Iterator[tuple[float | None, Samples]]:
        """Time stamp in seconds and samples of each frame, in one rate and layout."""
        resampler, form = None, None
        for frame in self._frames():
            stamp = None if frame.pts is None else float(frame.pts * frame.time_base)
            # Without a time stamp the resampler never shifts or fills.
            frame.pts = None
            if resampler is None or form != (frame.format.name, frame.layout.name, frame.sample_rate):
                yield from _converted(resampler, None, None)
                form = (frame.format.name, frame.layout.name, frame.sample_rate)
                resampler = av.AudioResampler(format="s16p", layout=self._layout, rate=self.rate)
            yield from _converted(resampler, frame, stamp)
        yield from _converted(resampler, None, None)

    def _frames(self) -> Iterator[Any]:
        with contextlib.suppress(FFmpegError, IndexError):  # nothing after damage of the container can be read
            for packet in self._container.demux(self._stream):
                try:
                    yield from packet.decode()
                except FFmpegError:
                    self.errors += 1

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> "SoundReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _converted(
    resampler: av.AudioResampler | None, frame: av.AudioFrame | None, stamp_s: float | None
) -> Iterator[tuple[float | None, Samples]]:
    """A frame in the resampler's format; None: what it holds back."""
    parts = [] if resampler is None else [part.to_ndarray() for part in resampler.resample(frame)]
    if parts:
        yield stamp_s, np.concatenate(parts, axis=1)


def is_same_sound(one: SoundReader, other: SoundReader) -> bool:
    """Whether two files sound the same: equal samples, which begin within 5 ms and end within 0.1 s of one another."""
    if (one.rate, one.channels) != (other.rate, other.channels):
        return False
    starts, parts = [], []
    for reader in (one, other):
        runs = reader.runs()
        first, samples = next(runs)
        starts.append(first)
        parts.append(_joined(first, samples, runs))
    if abs(starts[0] - starts[1]) > 0.005 * one.rate:
        return False
    rest = [np.zeros((one.channels, 0), np.int16)] * 2
    while True:
        for i in range(2):
            if not rest[i].shape[1]:
                rest[i] = next(parts[i], rest[i])
        n = min(part.shape[1] for part in rest)
        if not n:
            # One of them is over.
            left = sum(part.shape[1] for part in (*rest, *parts[0], *parts[1]))
            return bool(left <= 0.1 * one.rate)
        if not np.array_equal(rest[0][:, :n], rest[1][:, :n]):
            return False
        rest = [part[:, n:] for part in rest]


def _joined(begin: int, samples: Samples, runs: Iterator[tuple[int, Samples]]) -> Iterator[Samples]:
    """Samples without the positions, gaps as silence."""
    yield samples
    end = begin + samples.shape[1]
    for start, samples in runs:
        for first in range(end, start, SILENCE):
            yield np.zeros((samples.shape[0], min(SILENCE, start - first)), np.int16)
        yield samples
        end = start + samples.shape[1]
