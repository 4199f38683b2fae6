"""THUMOS14 as G-TAD cuts it: published counts of windows, and the published settings of the experiments."""

import numpy as np
import pandas as pd
import pytest

from tsp.config.experiments import resolve_experiment
from tsp.config.load import read_folder
from tsp.datasets import thumos14
from tsp.localise import bmn, gtad
from tsp.localise.windows import Window, Windows, frame_facts, window_labels, window_starts
from tsp.types import Segment, Video

FILES = ("val_Annotation.csv", "test_Annotation.csv", "thumos14_test_groundtruth.csv")


@pytest.fixture(scope="module")
def videos(shared):
    return thumos14.read([shared / "gtad" / name for name in FILES])


def snippets(frames):
    return -(-(frames - 1) // 5)


def test_annotations_bring_their_frames(videos):
    test = [v for v in videos if v.subset == "test"]
    assert (len(videos), len(test)) == (413, 213)
    rates = pd.Series([v.extra["frame_rate"] for v in test]).round(2).value_counts().to_dict()
    assert rates == {30.0: 196, 29.97: 11, 25.0: 5, 24.0: 1}
    found = [sum(len(v.extra[key]) for v in videos if key in v.extra) for key in ("segment_frames", "ambiguous_frames")]
    assert found == [3_096 - 89 + 3_457 - 99, 89 + 99]


def test_windows_of_the_test_videos(videos):
    """1,925 windows; 84 videos lose 1 to 50 snippets."""
    windows, n, lost = Windows(), 0, []
    for video in videos:
        if video.subset == "test":
            count = snippets(frame_facts(video, 0, {}, windows)[1])
            starts = window_starts(count, 256, windows)
            n += len(starts)
            lost.append(max(0, count - int(starts[-1]) - 256))
    assert n == 1_925
    lost = np.array(lost)
    assert (lost > 0).sum() == 84
    assert (lost[lost > 0].min(), lost.max()) == (1, 50)


def test_test_videos_shorter_than_a_window(videos):
    """Their only window is padded; see `windows.merge`."""
    windows = Windows()
    counts = [snippets(frame_facts(video, 0, {}, windows)[1]) for video in videos if video.subset == "test"]
    assert (len(counts), sum(n < 256 for n in counts), sum(n < 128 for n in counts)) == (213, 17, 3)


def test_windows_of_training(videos, shared):
    """About 1,391 hold more than 0.9 of an action; numbers of frames are only known at 30 fps here."""
    table = pd.read_csv(shared / "tsp/thumos14/thumos14_valid_metadata.csv")
    seconds = dict(zip(table["filename"], table["video-duration"], strict=True))
    windows, kept = Windows(), 0
    for video in videos:
        if video.subset == "validation":
            frames = round(seconds[video.filename] * video.extra["frame_rate"])
            for first in window_starts(snippets(frames), 256, windows).tolist():
                window = Window(first=first, fps=30.0, frames=frames)
                kept += window_labels(video, window, 256, windows).covered > windows.coverage
    assert kept == pytest.approx(1_391, rel=0.005)


@pytest.mark.parametrize(("first", "zero"), [(0, -2), (128, 637)])
def test_frame_that_labels_count_from(first, zero):
    start = 5 * first + 100
    video = Video(
        name="x",
        filename="x.mp4",
        subset="test",
        duration_s=None,
        segments=(Segment(start_s=0.0, end_s=1.0, label="a"),),
        extra={"segment_frames": [[start, start + 100]]},
    )
    found = window_labels(video, Window(first=first, fps=30.0, frames=9_999), 256, Windows())
    np.testing.assert_allclose(found.segments * 1280 + zero, [[start, start + 100]], atol=1e-9)


def test_nodes_and_regions_of_thumos14():
    """Cells of one snippet around its frame, regions of 15 frames around the boundary, both in frames."""
    config = gtad.Config(length=256, durations=64, node_cell_end=0.5)
    found = gtad.targets(np.array([[0.1, 0.2]]), config, np.array([[103.0, 301.0]]) / 1280)
    for name, frame in (("start", 103), ("end", 301)):
        low, high = 5 * np.arange(256) - 2.5, 5 * np.arange(256) + 2.5
        expected = np.clip(np.minimum(high, frame + 7.5) - np.maximum(low, frame - 7.5), 0, None) / 5
        np.testing.assert_allclose(found[name], expected, atol=1e-6)


def experiment(name):
    entry = read_folder()[0]["experiments"][name]
    return gtad.Config if entry["method"].endswith("gtad") else bmn.Config, resolve_experiment(name, entry).experiment


def test_settings_of_gtad():
    """THUMOS14 with TSP features, quirks of the released code included."""
    _, found = experiment("gtad_thumos14")
    s = found.settings
    assert (found.dataset, found.stride) == ("thumos14", 1)
    assert (s["length"], s["durations"], s["inner_samples"], s["context_samples"], s["expand"]) == (
        256,
        64,
        16,
        16,
        0.5,
    )
    assert (s["map_kernel"], s["node_cell_end"], s["class_count_extra"]) == (3, 0.5, 10)
    assert (s["regression_weight"], s["classification_weight"], s["lr"]) == (1.0, 10.0, 4e-4)
    assert (s["boundary_filter"], s["nms_divisor"], s["nms_keep"], s["classes"]) == (False, 0.46, 200, 2)
    trainer = s["trainer"]
    assert (trainer["batch_size"], trainer["epochs"], trainer["milestones"], trainer["gamma"]) == (8, 10, (5,), 0.1)
    assert (trainer["grad_clip"], trainer["keep"], trainer["weight_decay"]) == (1.0, "last", 1e-4)
    released = {
        "step_frames": 5, "overlap": 0.5, "tail": "released", "coverage": 0.9, "clip": False, "ambiguous": True,
        "label_zero": "released", "longest_frames": 300, "rounded": True, "fps": 30.0,
    }  # fmt: skip
    assert s["windows"] == released


def test_settings_of_bmn():
    """The paper's window and longest segment; the rest as the public framework that runs BMN on THUMOS14."""
    _, found = experiment("bmn_thumos14")
    s, trainer = found.settings, found.settings["trainer"]
    assert (s["length"], s["durations"], s["windows"]["step_frames"], s["windows"]["overlap"]) == (128, 64, 5, 0.5)
    assert (s["windows"]["clip"], s["windows"]["coverage"], s["windows"]["longest_frames"]) == (True, 0.9, None)
    assert (trainer["batch_size"], s["lr"], trainer["epochs"], trainer["milestones"]) == (16, 1e-4, 8, (5,))
    assert (s["detection_nms_divisor"], s["nms_keep"], s["classes"]) == (0.3, 200, 2)
