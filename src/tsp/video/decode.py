"""Decoding of pictures, through PyAV; `sound` decodes sound, and no other module decodes."""

import contextlib
import itertools
import os
from collections import OrderedDict
from collections.abc import Container, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from numpy.typing import ArrayLike, NDArray

from tsp.errors import TspError

Frames = NDArray[np.uint8]


class VideoReader:
    """Random access to the frames of a file with constant frame rate.

    Frame k is the k-th in presentation order. Decoding starts at the nearest key frame before it.

    Args:
        path: the file.
        threads: decoder threads.

    Raises:
        TspError: the file cannot be opened or has no video stream.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path = Path(path)
        try:
            # The scheme keeps names such as "-x.mp4" or "a:b.mp4" from being parsed as options or protocols.
            self._container = av.open(f"file:{self.path}")
        except (FFmpegError, OSError) as error:
            raise TspError(f"{self.path}: cannot be opened as a video ({error})") from error
        if not self._container.streams.video:
            self._container.close()
            raise TspError(f"{self.path}: has no video stream")
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = threads
        self._pts: list[int] | None = None
        self._listed: Sequence[int] | None = None
        # One converter for all frames: creating one per frame costs more than decoding a small frame.
        self._converter = VideoReformatter()
        self.width, self.height = self._stream.codec_context.width, self._stream.codec_context.height

    @property
    def fps(self) -> Fraction:
        """Average frame rate of the stream, in frames per second."""
        rate = self._stream.average_rate
        if not rate:
            raise TspError(f"{self.path}: states no frame rate")
        return Fraction(rate)

    @property
    def n_frames(self) -> int:
        """Number of frames, counted from the packets, not taken from the header."""
        return len(self._index())

    def _index(self) -> list[int]:
        """Timestamps of all frames in presentation order, read without decoding."""
        if self._pts is None:
            try:
                self._container.seek(0)
                stamps = [p.pts for p in self._container.demux(self._stream) if p.pts is not None and p.size]
            except FFmpegError as error:
                raise TspError(f"{self.path}: damaged ({error})") from error
            self._pts = sorted(stamps)
        return self._pts

    @property
    def n_indexed(self) -> int:
        """Number of frames in the index of the container; more than `n_frames` if the file is truncated."""
        return len(self._container_index())

    def _container_index(self) -> Sequence[int]:
        """Timestamps from the index of the container, or from the packets if it is uneven or absent."""
        if self._pts is None and self._listed is None:
            entries = [entry.timestamp for entry in self._stream.index_entries]
            steps = {b - a for a, b in itertools.pairwise(entries)}
            start = self._stream.start_time
            # Evenly spaced decoding times imply evenly spaced presentation times.
            if len(steps) == 1 and (step := steps.pop()) > 0 and start is not None:
                self._listed = range(start, start + step * len(entries), step)
        return self._index() if self._listed is None else self._listed

    def frames(self, indices: ArrayLike) -> Frames:
        """Decode frames by number.

        Args:
            indices: `[n]` frame numbers, ascending (repeats allowed).

        Returns:
            `[n, H, W, 3]` uint8, RGB.

        Raises:
            TspError: a number is outside the video, or the file is truncated.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        stamps = self._container_index()
        if len(wanted) == 0:
            return np.zeros((0, self.height, self.width, 3), np.uint8)
        if wanted[0] < 0 or wanted[-1] >= len(stamps):
            raise TspError(f"{self.path}: frame {wanted[-1] if wanted[0] >= 0 else wanted[0]} of {len(stamps)} frames")
        targets = [stamps[k] for k in wanted]
        found = self._decode_until(set(targets), targets[0], targets[-1])
        if len(found) < len(set(targets)):
            # Open groups of pictures: a frame shown before its key frame depends on the previous group.
            found = self._decode_until(set(targets), stamps[0], targets[-1])
        missing = [int(k) for k, pts in zip(wanted, targets, strict=True) if pts not in found]
        if missing:
            raise TspError(f"{self.path}: frame {missing[0]} of {len(stamps)} cannot be decoded; the file is damaged")
        return np.stack([found[pts] for pts in targets])

    def _decode_until(self, targets: set[int], first: int, last: int) -> dict[int, Frames]:
        found: dict[int, Frames] = {}
        with contextlib.suppress(FFmpegError):  # the caller reports the missing frame
            self._container.seek(first, stream=self._stream, backward=True)
            for frame in self._decode(targets):
                if frame.pts in targets:
                    found[frame.pts] = self._rgb(frame)
                if frame.pts is not None and frame.pts >= last:
                    break
        return found

    def _decode(self, targets: Container[int]) -> Iterator[av.VideoFrame]:
        """Decode from the current position, skipping frames outside `targets` known to be unreferenced."""
        context = self._stream.codec_context
        try:
            for packet in self._container.demux(self._stream):
                context.skip_frame = "DEFAULT" if packet.pts is None or packet.pts in targets else "NONREF"
                yield from packet.decode()
        finally:
            context.skip_frame = "DEFAULT"

    def _rgb(self, frame: av.VideoFrame) -> Frames:
        return np.asarray(self._converter.reformat(frame, format="rgb24", threads=1).to_ndarray(), dtype=np.uint8)

    def iterate(self, only: Container[int] | None = None) -> Iterator[Frames]:
        """Frames `[H, W, 3]` in order, each decoded once.

        Args:
            only: numbers of the frames to yield; others are decoded but not converted. None: all.

        Raises:
            TspError: not all frames can be decoded.
        """
        stamps = self._index()
        wanted = set(stamps) if only is None else {stamp for k, stamp in enumerate(stamps) if k in only}
        done, reason = 0, ""
        try:
            self._container.seek(0)
            for frame in self._decode(wanted):
                if frame.pts in wanted:
                    done += 1
                    yield self._rgb(frame)
        except FFmpegError as error:
            reason = f" ({error})"
        if done < len(wanted):
            raise TspError(f"{self.path}: damaged: {done} of {len(wanted)} frames can be decoded{reason}")

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ReaderPool:
    """Cache of open readers, the least recently used closed first; every process opens its own.

    Args:
        size: number of readers that stay open.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._readers: OrderedDict[Path, VideoReader] = OrderedDict()
        self._process = os.getpid()

    def get(self, path: Path) -> VideoReader:
        """The reader of a file; it stays open until `size` others are requested."""
        if os.getpid() != self._process:  # a forked worker must not share the open files of its parent
            self._readers, self._process = OrderedDict(), os.getpid()
        reader = self._readers.pop(path, None) or VideoReader(path)
        self._readers[path] = reader
        while len(self._readers) > self.size:
            self._readers.popitem(last=False)[1].close()
        return reader

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_readers": OrderedDict()}
