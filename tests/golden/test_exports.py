"""Exports of the released features: the videos that the receivers' own files have."""

from pathlib import Path

import pandas as pd

from tsp.features.detectors import TRAINING, Labelled, _trainable
from tsp.features.exporting import Export, Features, Timing
from tsp.io.tables import ACTION, read_metadata, read_segments
from tsp.types import Segment, Video
from tsp.video.clips import extraction_starts


def test_actionformer_trains_on_its_9987_videos(shared):
    """Of 10,024 training videos; 34 have no action longer than 0.01 s, and three none longer than 0.1 s."""
    folder = shared / "tsp/activitynet"
    table = read_segments(folder / "activitynet_v1-3_train_tsp_groundtruth.csv.gz")
    actions = table[table["temporal-region-label"] == ACTION].groupby("filename")
    metadata = read_metadata(folder / "activitynet_v1-3_train_metadata.csv.gz").set_index("filename")
    videos, clips = [], {}
    for filename, rows in actions:
        segments = tuple(
            Segment(start_s=a, end_s=b, label="x") for a, b in zip(rows["t-start"], rows["t-end"], strict=True)
        )
        videos.append(
            Video(name=str(filename), filename=str(filename), subset=TRAINING, duration_s=1.0, segments=segments)
        )
        facts: pd.Series = metadata.loc[filename]
        clips[videos[-1].key] = len(extraction_starts(int(facts["video-frames"]), float(facts["fps"]), 16))
    time = Timing(stride=16, fps=15.0, clip_length=16)
    export = Export(features=Features([]), output=Path(), time=time, videos=videos, class_scores=None, length=100)
    splits = (TRAINING, "validation")
    found = Labelled(prefix="v_", thumos14=False, splits=splits, videos=videos, durations={}, missing=[])
    assert len(videos) == 10_024
    assert sum(_trainable(video, found, export, clips) for video in videos) == 9_987
