"""Clips of annotated segments: selection, times and labels (tsp.md 2.4, 3)."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from tsp.encoders.config import EncoderConfig
from tsp.errors import TspError
from tsp.io.tables import ACTION, NO_ACTION, read_table
from tsp.pretrain.config import Head, RunConfig
from tsp.pretrain.model import MISSING
from tsp.progress import progress
from tsp.segments import clip_seconds
from tsp.training.seeds import item_rng
from tsp.video.clips import clip_frames, training_start
from tsp.video.decode import ReaderPool, VideoReader
from tsp.video.transforms import InputFormat, eval_transform, random_view, train_transform

log = logging.getLogger(__name__)
# Label ids of the released files. The paper numbers them the other way round, to no effect.
REGIONS = [ACTION, NO_ACTION]
COLUMNS = ["filename", "fps", "t-start", "t-end", "video-duration", "video-frames"]


def clean_segments(
    table: pd.DataFrame, encoder: EncoderConfig, short: Literal["drop", "center"] = "drop"
) -> pd.DataFrame:
    """Clip segments to their video and handle those shorter than a clip.

    Args:
        table: segments with `t-start`, `t-end`, `video-duration` in seconds.
        encoder: its `clip_length` and `fps` make the clip's length.
        short: `drop` them (paper), or replace each by the clip around its middle, shifted into the video.

    Returns:
        The rows kept, in order, indexed from 0.
    """
    clip_s = clip_seconds(encoder.clip_length, encoder.fps)
    start = table["t-start"].clip(lower=0.0)
    end = table[["t-end", "video-duration"]].min(axis=1)
    # In frames and in this order of operations, as in the released code: a segment of exactly one clip is kept.
    too_short = (end - start) * encoder.fps < encoder.clip_length
    keep = ~too_short
    if short == "center":
        room = table["video-duration"] - clip_s
        middle = ((start + end - clip_s) / 2).clip(lower=0.0)
        start = start.where(keep, np.minimum(middle, room))
        end = end.where(keep, start + clip_s)
        keep |= (room >= 0) & (table["t-start"] < table["video-duration"])
    kept = table.assign(**{"t-start": start, "t-end": end})[keep].reset_index(drop=True)
    log.info("%d segments kept, %d dropped as shorter than a clip of %.4f s", len(kept), (~keep).sum(), clip_s)
    return kept


class ClipDataset(Dataset[dict[str, Any]]):
    """K clips of every segment; with R rows, item i is clip i div R of row i mod R.

    In training a clip starts uniformly at random inside its segment and is mirrored and cropped at random, all
    drawn from (seed, epoch, item). In validation the K clips are evenly spaced and cropped at the centre.

    Args:
        segments: ground-truth CSV.
        videos: folder with the standardised files.
        run: columns, heads, clips per segment, policies; `trainer.seed` seeds the draws.
        encoder: length, rate, size and normalisation of the clips.
        labels: action names in id order.
        training: random or fixed clips.
        gvf: filename -> global feature `[G]`, where the run has one.

    Raises:
        TspError: a column or video missing, an unknown label, no row left.

    Paper: section 3.1 (clip sampling), 4 (implementation details).
    Differs: the released code repeats its random numbers in every worker and epoch; here they never repeat.
    """

    def __init__(
        self,
        segments: str | Path,
        videos: str | Path,
        *,
        run: RunConfig,
        encoder: EncoderConfig,
        labels: Sequence[str],
        training: bool,
        gvf: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        columns = {"action": run.action_column, "region": run.region_column}
        table = read_table(segments, [*COLUMNS, *(columns[head] for head in run.heads)])
        rows = clean_segments(table, encoder, run.short_segments)
        if rows.empty:
            raise TspError(f"{segments}: none of {len(table)} segments is as long as a clip; is video-duration right?")
        self.videos, self.run, self.encoder, self.training = Path(videos), run, encoder, training
        rows = self._present(rows, segments)
        self.gvf, self.epoch, self.readers = gvf, 0, ReaderPool(run.open_videos)
        self.filenames = rows["filename"].tolist()
        self.starts, self.ends, self.fps = (rows[c].to_numpy(np.float64) for c in ("t-start", "t-end", "fps"))
        names: dict[Head, Sequence[str]] = {"action": labels, "region": REGIONS}
        self.labels = {head: _label_ids(rows, columns[head], names[head], segments) for head in run.heads}
        if gvf is not None and (missing := set(self.filenames) - gvf.keys()):
            raise TspError(f"{min(missing)}: no global video feature, but {segments} has segments of it")
        self.cache = self._fill_cache(rows) if run.cache == "memory" else {}

    def _present(self, rows: pd.DataFrame, segments: str | Path) -> pd.DataFrame:
        """The rows whose video exists, if few enough are missing."""
        names = list(dict.fromkeys(rows["filename"]))
        missing = [name for name in names if not (self.videos / name).is_file()]
        if not missing:
            return rows
        text = (
            f"{self.videos / missing[0]}: no such video, but {segments} has segments of it"
            f" ({len(missing)} of {len(names)} videos are missing)"
        )
        if len(missing) > self.run.max_missing * len(names) or len(missing) == len(names):
            raise TspError(
                f"{text}; make the segments again, or raise max_missing ({self.run.max_missing:g}) of the run"
            )
        log.warning("%s; their segments are skipped", text)
        return rows[~rows["filename"].isin(missing)].reset_index(drop=True)

    def __len__(self) -> int:
        return len(self.filenames) * self.run.clips_per_segment

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose clips are drawn."""
        self.epoch = epoch

    def start_s(self, index: int, share: float) -> float:
        """Start of a clip, in seconds.

        Args:
            index: of the item.
            share: 0 for the first clip that lies inside the segment, 1 for the last.
        """
        row = index % len(self.filenames)
        clip_s = clip_seconds(self.encoder.clip_length, self.encoder.fps)
        return training_start((float(self.starts[row]), float(self.ends[row])), share, clip_s)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One clip as decoded: `frames` uint8 `[L, H, W, 3]`, `view` in training, a label (or -1) per head, `gvf`."""
        row, number = index % len(self.filenames), index // len(self.filenames)
        rng = item_rng(self.run.trainer.seed, self.epoch, index)
        count = self.run.clips_per_segment
        if self.training:
            share = rng.random()
        else:
            share = number / (count - 1) if count > 1 else 0.5
        item: dict[str, Any] = {"frames": torch.from_numpy(self._decode(row, self.start_s(index, share)))}
        if self.training:
            item["view"] = random_view(self.encoder, rng, flip=self.run.flip)
        item |= {head: int(ids[row]) for head, ids in self.labels.items()}
        if self.gvf is not None:
            item["gvf"] = torch.from_numpy(self.gvf[self.filenames[row]])
        return item

    @staticmethod
    def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A batch: frames and views as lists, because videos differ in size; labels `[B]`, `gvf` `[B, G]`."""
        lists = {name: [item[name] for item in items] for name in ("frames", "view") if name in items[0]}
        rest = [{name: value for name, value in item.items() if name not in lists} for item in items]
        return lists | default_collate(rest)

    def _decode(self, row: int, start_s: float) -> np.ndarray:
        """Frames `[L, H, W, 3]` uint8 of a clip."""
        filename = self.filenames[row]
        wanted = clip_frames(
            start_s,
            float(self.fps[row]),
            self.encoder.clip_length,
            self.encoder.fps,
            released_timestamps=self.run.released_timestamps,
        )
        if filename in self.cache:
            frames = self.cache[filename]
            return frames[self._inside(wanted, len(frames), filename)]
        reader = self.readers.get(self.videos / filename)
        return reader.frames(self._inside(wanted, reader.n_indexed, filename))

    def _inside(self, wanted: np.ndarray, n_frames: int, filename: str) -> np.ndarray:
        if wanted[-1] < n_frames:
            return wanted
        text = f"{self.videos / filename}: a clip needs frame {wanted[-1]}, the video has {n_frames}"
        if self.run.short_clips == "error" or wanted[0] >= n_frames:
            raise TspError(f"{text}; probe the file again, or set short_clips: repeat")
        log.warning("%s; its last frame is repeated", text)
        return np.minimum(wanted, n_frames - 1)

    def _fill_cache(self, rows: pd.DataFrame) -> dict[str, np.ndarray]:
        first = rows.drop_duplicates("filename")
        frames = dict(zip(first["filename"].astype(str), first["video-frames"].astype(int), strict=True))
        cache: dict[str, np.ndarray] = {}
        size = 0
        for filename, n_frames in progress(frames.items(), desc="decode into memory", unit="video"):
            with VideoReader(self.videos / filename) as reader:
                size += n_frames * reader.frames([0])[0].size
                if size > self.run.cache_gb * 1e9:
                    log.warning("decoded videos need more than %.3g GB; nothing is cached", self.run.cache_gb)
                    return {}
                cache[filename] = np.stack(list(reader.iterate()))
        log.info("%d videos held in memory, %.2f GB", len(cache), size / 1e9)
        return cache


@torch.no_grad()
def network_input(batch: Mapping[str, Any], form: InputFormat) -> Tensor:
    """Clips of a batch as the encoder expects them; transformed on the device that holds the frames.

    Args:
        batch: `frames`: uint8 `[L, H, W, 3]` each; `view` in training.
        form: size, crop, mean and standard deviation that the encoder expects.

    Returns:
        `[B, 3, L, crop, crop]` float32.
    """
    if "view" not in batch:
        return torch.stack([eval_transform(clip, form) for clip in batch["frames"]])
    pairs = zip(batch["frames"], batch["view"], strict=True)
    return torch.stack([train_transform(clip, form, view) for clip, view in pairs])


def _label_ids(rows: pd.DataFrame, column: str, names: Sequence[str], source: str | Path) -> np.ndarray:
    """Ids of labels, -1 for an empty field."""
    ids = {"": MISSING, **{name: i for i, name in enumerate(names)}}
    found = rows[column].fillna("").astype(str)
    for position, label in enumerate(found):
        if label not in ids:
            row = rows.iloc[position]
            raise TspError(
                f"{source}: {row['filename']} at {row['t-start']} s: {column} {label!r} is none of the "
                f"{len(names)} labels ({', '.join(list(names)[:3])}, ...); check the data set's labels"
            )
    return found.map(ids).to_numpy(np.int64)
