"""Proposal lists from other predictions."""

from dataclasses import replace

import pytest
from unit.localise.make import side
from unit.localise.pgcn.make import SMALL

from tsp.errors import TspError
from tsp.io.predictions import write_predictions
from tsp.localise.pgcn.data import read_source
from tsp.localise.pgcn.proposal_lists import Clock, from_predictions
from tsp.types import Video


def test_frames_of_videos():
    video = Video(name="a", filename="v_a.mp4", subset="s", duration_s=10.0, segments=())
    assert Clock().of(video) == (300, 30.0)
    annotated = replace(video, duration_s=None, extra={"frames": 240, "frame_rate": 24.0})
    assert Clock().of(annotated) == (240, 24.0)
    assert Clock(by_name={"a": (7, 1.0)}).of(annotated) == (7, 1.0)
    assert Clock(by_key={"v_a": (8, 1.0)}, by_name={"a": (7, 1.0)}).of(annotated) == (8, 1.0)
    with pytest.raises(TspError, match="states no duration"):
        Clock().of(replace(video, duration_s=None))


def test_proposals_of_detections_count_once(tmp_path):
    entry = {"segment": [1.0, 2.0], "score": 0.5, "label": "a"}
    entries = [entry, {**entry, "score": 0.9, "label": "b"}, {"segment": [0.0, 3.0], "score": 0.7, "label": "a"}]
    write_predictions(tmp_path / "p.json", {"v": entries, "w": []}, version="x")
    found = from_predictions(tmp_path / "p.json")
    assert [x.tolist() for x in found["v"]] == [[[1.0, 2.0], [0.0, 3.0]], [0.9, 0.7]]
    assert found["w"][0].shape == (0, 2)


def test_lists_of_other_videos_are_refused(data):
    with pytest.raises(TspError, match="none of its 4 videos"):
        read_source(SMALL, replace(side(data, "train"), proposals=data / "valid.txt"))
    with pytest.raises(TspError, match="none are given for subset 'training'"):
        read_source(SMALL, side(data, "train"))
