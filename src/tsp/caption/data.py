"""Features of pictures and sound as training examples: cut to segments, or whole videos padded to one length.

B batch, T features of a stream, C its width.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tsp.caption.audio import WIDTH
from tsp.caption.text import PADDING, Event, read_available, read_events
from tsp.errors import TspError
from tsp.io.features import FeatureFile
from tsp.io.files import sha256
from tsp.training.seeds import torch_rng

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]
# Padded features have the value of the padding word; the detection heads read them.
FILL = float(PADDING)
AUDIO_STEP_S = 0.96


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The input files of videos that are captioned and scored.

    Args:
        video, audio: feature files, one or more each.
        references: ActivityNet Captions files, scored separately; the first one defines the videos.
        available: file with the available videos, one per line; None: all.
    """

    video: Sequence[Path]
    audio: Sequence[Path]
    references: Sequence[Path]
    available: Path | None = None

    @classmethod
    def of(cls, files: Any) -> "Measured":
        """From the inputs of a step: `valid_video`, `valid_audio`, `references`, `available` (may be empty)."""
        return cls(
            video=[Path(files.valid_video)],
            audio=[Path(files.valid_audio)],
            references=[Path(path) for path in files.references],
            available=Path(files.available) if files.available else None,
        )

    def events(self, number: int = 0) -> list[Event]:
        """Segments of available videos in one reference file."""
        return read_events(self.references[number], read_available(self.available))


@dataclass(frozen=True, kw_only=True)
class CaptionInputs:
    """The input files of both trainings.

    Args:
        video, audio: feature files of the training videos.
        captions: ActivityNet Captions file of the training videos.
        valid: files of the videos that pick the epoch.
    """

    video: Sequence[Path]
    audio: Sequence[Path]
    captions: Path
    valid: Measured

    @classmethod
    def of(cls, files: Any) -> "CaptionInputs":
        """From the inputs of a step: `train_video`, `train_audio`, `captions`, and those of `Measured`."""
        video, audio = [Path(files.train_video)], [Path(files.train_audio)]
        return cls(video=video, audio=audio, captions=Path(files.captions), valid=Measured.of(files))

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file, by its name."""
        files = [*self.video, *self.audio, self.captions, *self.valid.video, *self.valid.audio, *self.valid.references]
        return {str(path): sha256(path) for path in [*files, *filter(None, [self.valid.available])]}


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Features of videos, in memory.

    Args:
        video: name -> `[T, C]`, of every video.
        audio: name -> `[T, 128]`, of videos with sound.
        video_step_s, audio_step_s: seconds from one feature to the next.
    """

    video: dict[str, Floats]
    audio: dict[str, Floats]
    video_step_s: float
    audio_step_s: float = AUDIO_STEP_S

    @property
    def widths(self) -> tuple[int, int]:
        """Width of sound and of picture features."""
        sound = next(iter(self.audio.values()), np.zeros((0, WIDTH)))
        return sound.shape[1], next(iter(self.video.values())).shape[1]


def read_streams(
    video: Sequence[Path], audio: Sequence[Path], names: Collection[str], *, missing: str = "error"
) -> Streams:
    """Read the features of some videos from one or more files per stream.

    Args:
        video: feature files of the pictures.
        audio: feature files of the sound.
        names: keys of the videos.
        missing: `error`, or `skip` videos without picture features.

    Raises:
        TspError: videos without picture features (all are listed); files that differ in width or stride, or lack it.
    """
    seen, step = _read(video, names)
    heard, audio_step = _read(audio, names)
    absent = [name for name in dict.fromkeys(names) if name not in seen]
    files = ", ".join(map(str, video))
    if not seen or (absent and missing == "error"):
        shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")
        raise TspError(f"{files}: no features of {shown}; extract them, or set `missing: skip`")
    if absent:
        log.warning("%d of %d videos have no picture features and are skipped", len(absent), len(set(names)))
    silent = sum(name not in heard for name in seen)
    log.info("features of %d videos, %d of them without sound", len(seen), silent)
    return Streams(video=seen, audio=heard, video_step_s=step, audio_step_s=audio_step)


def _read(paths: Sequence[Path], names: Collection[str]) -> tuple[dict[str, Floats], float]:
    wanted = set(names)
    found: dict[str, Floats] = {}
    steps: dict[Path, float] = {}
    for path in paths:
        with FeatureFile(path) as file:
            stated = file.attributes
            if "stride" not in stated or "fps" not in stated:
                raise TspError(f"{path}: has no stride and fps, so the times of its features are unknown")
            steps[path] = stated["stride"] / stated["fps"]
            found |= {name: rows for name in file.names if name in wanted and len(rows := file[name])}
    widths = Counter(rows.shape[1:] for rows in found.values())
    if len(widths) > 1 or len(set(steps.values())) > 1:
        raise TspError(f"{', '.join(map(str, paths))}: widths {list(widths)} and steps {list(steps.values())} differ")
    return found, next(iter(steps.values()), AUDIO_STEP_S)


def cut(rows: int, start_s: float, end_s: float, duration_s: float) -> slice:
    """The features of a video that belong to a segment.

    Args:
        rows: features of the video.
        start_s, end_s: of the segment; it gets at least one feature if it starts in the video and ends after its start.
        duration_s: of the video.

    Paper: as released.
    """
    first, last = int(rows * start_s / duration_s), int(rows * end_s / duration_s)
    if first == last:
        first, last = (first - 1, last) if first == rows else (first, last + 1)
    # A negative end would count from the back.
    return slice(max(first, 0), max(last, 0))


class Segments(Dataset[dict[str, Any]]):
    """Segments with their features and, for training, their words.

    Args:
        events: the segments, of videos with picture features.
        streams: features.
        words: word numbers of each caption, with start and end; None for inference.
    """

    def __init__(self, events: Sequence[Event], streams: Streams, words: Sequence[list[int]] | None = None) -> None:
        self.events, self.streams, self.words = events, streams, words

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, index: int) -> dict[str, Any]:
        event = self.events[index]
        widths = self.streams.widths
        item: dict[str, Any] = {"index": index}
        for name, kind, width in (("audio", self.streams.audio, widths[0]), ("video", self.streams.video, widths[1])):
            rows = kind.get(event.video)
            part = None if rows is None else rows[cut(len(rows), event.start_s, event.end_s, event.duration_s)]
            # A missing modality is one feature of zeros, attended to like any other (released code).
            item[name] = np.zeros((1, width), np.float32) if part is None or not len(part) else part
        if self.words is not None:
            item["words"] = self.words[index]
        return item

    def collate(self, items: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Pad to the longest."""
        batch = {"index": torch.tensor([item["index"] for item in items])}
        for name in ("audio", "video"):
            batch[name], batch[name + "_mask"] = pad([item[name] for item in items])
        if self.words is not None:
            longest = max(len(item["words"]) for item in items)
            padded = [item["words"] + [PADDING] * (longest - len(item["words"])) for item in items]
            batch["words"] = torch.tensor(padded)
        return batch


def pad(rows: Sequence[Floats], length: int | None = None) -> tuple[Tensor, Tensor]:
    """Features `[B, length, C]`, padded with 1.0, and mask `[B, length]`, True at features."""
    length = length or max(map(len, rows))
    padded = torch.full((len(rows), length, rows[0].shape[1]), FILL)
    mask = torch.zeros((len(rows), length), dtype=torch.bool)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = torch.from_numpy(np.ascontiguousarray(row))
        mask[number, : len(row)] = True
    return padded, mask


class Whole(Dataset[dict[str, Any]]):
    """Whole videos, padded to the same lengths, with their segments.

    Args:
        segments: video -> `[N, 2]` seconds, start and end.
        streams: features.
        audio_length, video_length: lengths to which the streams are padded.
        full_batches: batch size; each epoch drops other videos so that no batch is short. None: keep all videos.
        seed: of the draw of dropped videos.

    Raises:
        TspError: a stream is longer than its padded length.
    """

    def __init__(
        self,
        segments: Mapping[str, NDArray[np.float64]],
        streams: Streams,
        *,
        audio_length: int,
        video_length: int,
        full_batches: int | None = None,
        seed: int = 0,
    ) -> None:
        self.names, self.segments, self.streams = list(segments), segments, streams
        self.lengths = {"audio": audio_length, "video": video_length}
        for name in self.names:
            for key, kind in (("audio", streams.audio), ("video", streams.video)):
                if len(kind.get(name, ())) > self.lengths[key]:
                    raise TspError(
                        f"{name!r}: {len(kind[name])} {key} features, but videos are padded to {self.lengths[key]}; "
                        f"raise proposals.{key}_length"
                    )
        self.seed, size = seed, len(self.names)
        self.kept = size // full_batches * full_batches if full_batches and size >= full_batches else size
        self.order = list(range(size))

    def set_epoch(self, epoch: int) -> None:
        """Draw the videos that the epoch drops."""
        if self.kept < len(self.names):
            self.order = torch.randperm(len(self.names), generator=torch_rng(self.seed, epoch, 1)).tolist()

    def __len__(self) -> int:
        return self.kept

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = self.order[index]
        name = self.names[number]
        zeros = np.zeros((1, self.streams.widths[0]), np.float32)
        return {
            "index": number,
            "audio": self.streams.audio.get(name, zeros),
            "video": self.streams.video[name],
            "segments": self.segments[name],
        }

    def collate(self, items: list[dict[str, Any]]) -> dict[str, Tensor]:
        """`segments` `[N, 3]`: row of the batch, start and end in seconds, float64."""
        batch = {"index": torch.tensor([item["index"] for item in items])}
        for name, length in self.lengths.items():
            batch[name], batch[name + "_mask"] = pad([item[name] for item in items], length)
        rows = [np.insert(item["segments"], 0, row, axis=1) for row, item in enumerate(items)]
        batch["segments"] = torch.from_numpy(np.concatenate(rows))
        return batch


def usable(events: Sequence[Event], streams: Streams, silent: str) -> dict[str, NDArray[np.float64]]:
    """Videos for the proposal generator, with their segments `[N, 2]` in seconds.

    Videos are dropped that have no picture features, no sound features (unless `silent` is `zero`), or a segment that
    does not end after its start.
    """
    segments: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        segments.setdefault(event.video, []).append((event.start_s, event.end_s))
    why: Counter[str] = Counter()
    kept = {}
    for name, times in segments.items():
        if name not in streams.video:
            why["no picture features"] += 1
        elif name not in streams.audio and silent == "drop":
            why["no sound features"] += 1
        elif any(end <= start for start, end in times):
            why["a segment of no length"] += 1
        else:
            kept[name] = np.array(times, dtype=np.float64)
    log.info("%d of %d videos for proposals%s", len(kept), len(segments), f"; dropped: {dict(why)}" if why else "")
    return kept
