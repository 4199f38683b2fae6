"""Pretraining against the released files and the published schedule."""

import logging

import numpy as np
import pytest

from tsp.encoders.config import EncoderConfig
from tsp.io.tables import read_metadata, read_segments
from tsp.pretrain.config import PretrainTrainer, RunConfig
from tsp.pretrain.data import clean_segments
from tsp.pretrain.gvf import read_gvf
from tsp.training.loader import EpochBatches
from tsp.training.optim import make_schedule

ENCODER = EncoderConfig(factory="tsp.encoders.video_resnet:r2plus1d_34")
KEPT = [
    # (rows kept, dropped), (kept Action, kept No action), items per pass
    ("activitynet/activitynet_v1-3_train", (31_187, 179), (15_231, 15_956), 155_935),
    ("activitynet/activitynet_v1-3_valid", (15_305, 96), (7_558, 7_747), 76_525),
    ("thumos14/thumos14_valid", (4_794, 391), (2_617, 2_177), 23_970),
    ("thumos14/thumos14_test", (5_568, 363), (3_018, 2_550), 27_840),
]


@pytest.mark.parametrize(("name", "rows", "labels", "items"), KEPT)
def test_rows_kept_and_items_per_pass(shared, caplog, name, rows, labels, items):
    kept, dropped = rows
    caplog.set_level(logging.INFO)
    rows = clean_segments(read_segments(shared / f"tsp/{name}_tsp_groundtruth.csv.gz"), ENCODER)
    counts = rows["temporal-region-label"].value_counts()
    assert (len(rows), counts["Action"], counts["No action"]) == (kept, *labels)
    assert f"{kept} segments kept, {dropped} dropped" in caplog.text
    assert len(rows) * RunConfig(encoder="x").clips_per_segment == items
    assert (rows["t-start"] >= 0).all() and (rows["t-end"] <= rows["video-duration"]).all()


def test_short_segments_can_be_kept(shared):
    """Every dropped THUMOS14 segment that starts inside its video becomes one clip inside the video."""
    table = read_segments(shared / "tsp/thumos14/thumos14_test_tsp_groundtruth.csv.gz")
    rows = clean_segments(table, ENCODER, "center")
    assert len(rows) == (table["t-start"] < table["video-duration"]).sum() > 5_568
    assert ((rows["t-end"] - rows["t-start"]) * 15 >= 16 - 1e-6).all()
    assert (rows["t-start"] >= 0).all() and (rows["t-end"] <= rows["video-duration"] + 1e-9).all()


def test_iterations_per_epoch_with_two_devices():
    steps = [len(EpochBatches(items, 64)) for items in (155_935, 76_525, 23_970, 27_840)]
    assert steps == [2437, 1196, 375, 435]


def test_learning_rate_schedule():
    factor = make_schedule(PretrainTrainer(), 2437)
    at = {0: 1e-5, 2437: 0.500005, 4874: 1.0, 9747: 1.0, 9748: 0.01, 14_621: 0.01, 14_622: 1e-4, 19_495: 1e-4}
    for iteration, expected in at.items():
        assert factor(iteration) == pytest.approx(expected, rel=1e-12)


def test_released_gvf_loads_as_it_is(shared):
    folder = shared / "tsp/thumos14"
    names = [f for s in ("valid", "test") for f in read_metadata(folder / f"thumos14_{s}_metadata.csv")["filename"]]
    found = read_gvf(folder / "global_video_features/r2plus1d_34-max_gvf.h5", names)
    values = np.stack(list(found.values()))
    assert list(found) == names and values.shape == (413, 512) and values.dtype == np.float32
    assert (values.min().round(4), values.max().round(2)) == (np.float32(0.0046), np.float32(7.22))
    assert (values.mean().round(2), values.std().round(2)) == (np.float32(2.00), np.float32(0.78))
