"""Figures of single videos."""

import numpy as np
import pandas as pd
import pytest

from tsp.errors import TspError
from tsp.io.annotations import write_annotations
from tsp.io.features import feature_writer
from tsp.io.predictions import write_predictions
from tsp.report import overlay, similarity
from tsp.types import Segment, Video


def video(name, *spans, subset="validation"):
    segments = tuple(Segment(start_s=a, end_s=b, label="jump") for a, b in spans)
    return Video(name=name, filename=f"v_{name}.mp4", subset=subset, duration_s=20.0, segments=segments)


VIDEO = video("a", (2.0, 6.0), (10.0, 15.0))


def test_videos_are_picked_by_order_and_number_of_actions():
    videos = [video("none"), video("one", (1, 2)), video("other", (1, 2), (3, 4), subset="training"), VIDEO]
    assert [v.name for v in overlay.pick_videos(videos, "validation", 2)] == ["a", "one"]


def test_timeline_draws_the_best_predictions(tmp_path):
    entries = [{"segment": [n, n + 3], "score": n / 10, "label": "jump" if n else "run"} for n in range(9)]
    write_annotations(tmp_path / "g.json", [VIDEO, video("b", (0, 5))])
    for run in ("tac", "tsp"):
        write_predictions(tmp_path / f"{run}.json", {"a": entries}, version="x")
    paths = {run: tmp_path / f"{run}.json" for run in ("tac", "tsp")}
    overlay.timeline_of_files(tmp_path / "g.json", paths, tmp_path / "t.png", subset="validation", videos=2, top=3)
    data = pd.read_csv(tmp_path / "t.csv")
    assert (data.run == "ground truth").sum() == 3
    assert data[data.run == "tsp"].score.tolist() == [0.8, 0.7, 0.6]
    assert (tmp_path / "t.png").exists()
    with pytest.raises(TspError, match="no annotated video"):
        overlay.timeline([], {}, tmp_path / "n.png")


def test_similarity_tells_action_from_background(tmp_path):
    times = np.arange(20) + 0.5
    inside = ((times >= 2) & (times <= 6)) | ((times >= 10) & (times <= 15))
    sharp = np.where(inside[:, None], [1.0, 0.0], [0.0, 1.0])
    flat = np.ones((20, 2))
    similarity.similarity({"flat": flat, "sharp": sharp}, {"flat": times, "sharp": times}, VIDEO, tmp_path / "s.png")
    data = pd.read_csv(tmp_path / "s.csv")
    assert len(data) == 2 * 20 * 21 / 2
    assert set(data[data.run == "flat"].cosine.round(12)) == {1}
    assert set(data[data.run == "sharp"].cosine) == {0, 1}
    assert similarity._contrast(similarity._cosine(sharp), inside) == "action–action 1.00, action–background 0.00"


def test_long_videos_are_thinned_and_all_zero_features_are_no_fault(tmp_path):
    similarity.similarity({"x": np.zeros((450, 3))}, {"x": np.arange(450.0)}, VIDEO, tmp_path / "s.png")
    assert len(pd.read_csv(tmp_path / "s.csv")) == 200 * 201 / 2


def test_similarity_of_files_takes_the_time_from_the_file(tmp_path):
    facts = {"stride": 15, "fps": 15, "clip_length": 16}
    for name, attributes in (("good", facts), ("bad", {})):
        with feature_writer(tmp_path / f"{name}.h5", attributes) as writer:
            writer.write("v_a", np.eye(18, 4, dtype=np.float32))
    similarity.similarity_of_files({"x": tmp_path / "good.h5"}, VIDEO, tmp_path / "s.png")
    assert pd.read_csv(tmp_path / "s.csv").time_2_s[:2].tolist() == pytest.approx([8 / 15, 23 / 15])
    with pytest.raises(TspError, match=r"bad\.h5: does not state 'stride'"):
        similarity.similarity_of_files({"x": tmp_path / "bad.h5"}, VIDEO, tmp_path / "s.png")


def test_features_and_times_must_agree(tmp_path):
    with pytest.raises(TspError, match="3 features for 2 times"):
        similarity.similarity({"x": np.ones((3, 2))}, {"x": np.arange(2.0)}, VIDEO, tmp_path / "s.png")
    with pytest.raises(TspError, match="no features"):
        similarity.similarity({}, {}, VIDEO, tmp_path / "s.png")
