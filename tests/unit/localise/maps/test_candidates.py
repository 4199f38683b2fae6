"""The candidates of a method with a map of segments."""

from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from unit.localise.make import make_set

from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.localise.maps.candidates import unsuppressed
from tsp.localise.maps.detections import Selection
from tsp.localise.method import Raw, candidates_of
from tsp.localise.nms import Suppression
from tsp.localise.windows import Windows

RULE = Suppression(divisor=0.8, keep=100)


def test_proposals_of_raw_predictions(tmp_path):
    make_set(tmp_path)
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        for name in ("2", "5"):
            group = file.create_group(name)
            group["map"], group["start"], group["end"] = np.zeros((2, 4, 4)), np.zeros(4), np.zeros(4)
    segments, scores = np.array([[0.1, 0.5], [0.2, 0.9]]), np.array([0.3, 0.7])
    selection = Selection(scored=lambda _: (segments, scores), rule=RULE)
    duration = {v.name: v.duration_s for v in read_annotations(tmp_path / "annotations.json")}
    raw = Raw(path=tmp_path / "raw.h5", annotations=tmp_path / "annotations.json", subset="validation")
    made = unsuppressed(raw, selection, length=4, windows=None)
    assert (list(made.found), made.frames) == (["2", "5"], {})
    np.testing.assert_allclose(made.found["5"][0], segments * duration["5"])
    halved = unsuppressed(raw, replace(selection, length_s=lambda video: video.duration_s / 2), 4, None)
    np.testing.assert_allclose(halved.found["5"][0], segments * duration["5"] / 2)
    method = SimpleNamespace(__name__="x", candidates=lambda config, _: config)
    assert candidates_of(method, made, raw) is made
    with pytest.raises(TspError, match="offers no candidates"):
        candidates_of(SimpleNamespace(__name__="x"), None, raw)


def test_proposals_of_windows(tmp_path):
    """Two windows of 10 snippets, 5 frames apart, which propose one segment both; 25 frames per second."""
    make_set(tmp_path)
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_group("2").attrs.update(fps=25.0, frames=70)
        for first, value in ((0, 0.3), (5, 0.9)):
            group = file["2"].create_group(str(first))
            group["map"], group["start"], group["end"] = np.full((2, 1, 1), value), np.zeros(1), np.zeros(1)
    raw = Raw(path=tmp_path / "raw.h5", annotations=tmp_path / "annotations.json", subset="validation")

    def scored(maps):
        value = maps["map"][0, 0, 0]
        rows = [[0.5, 0.8], [0.0, 1.0]] if value < 0.5 else [[0.0, 0.3], [0.1, 0.9]]
        return np.array(rows), np.array([value, 0.1])

    made = unsuppressed(raw, Selection(scored=scored, rule=RULE), length=10, windows=Windows(longest_frames=50))
    found = made.found
    assert made.frames == {"2": (70, 25.0)}
    # [0, 50) is too long; [25, 40) is proposed twice.
    np.testing.assert_allclose(found["2"][0], np.array([[25, 40], [30, 70]]) / 25)
    np.testing.assert_allclose(found["2"][1], [0.9, 0.1])
