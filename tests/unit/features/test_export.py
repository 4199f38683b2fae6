"""Exports, read as the other projects read them, with their formulas from index to seconds."""

import json
import pickle

import h5py
import numpy as np
import pytest

from tsp.errors import TspError
from tsp.features.export import Timing, export
from tsp.features.resample import resample_time
from tsp.io.annotations import write_annotations
from tsp.io.features import feature_writer
from tsp.segments import feature_time
from tsp.types import Segment, Video

FACTS = {"stride": 16, "fps": 15.0, "clip_length": 16}
ARRAYS = {"v_a": np.arange(12, dtype=np.float32).reshape(6, 2), "v_b": np.ones((1, 2), np.float32)}
TIMES = feature_time(np.arange(6), 16, 15.0, 16)


@pytest.fixture
def features(tmp_path):
    return write(tmp_path / "f.h5", FACTS)


def write(path, facts):
    with feature_writer(path, facts) as writer:
        for name, array in ARRAYS.items():
            writer.write(name, array)
    return path


def test_opentad(features, tmp_path):
    videos = [
        Video(
            name=name,
            filename=f"v_{name}.mp4",
            subset="training",
            duration_s=10.0,
            segments=(Segment(start_s=1.0, end_s=2.5, label="run"),),
        )
        for name in ("a", "gone")
    ]
    write_annotations(tmp_path / "a.json", videos)
    export("opentad", features, tmp_path / "out", annotations=tmp_path / "a.json")
    facts = json.loads((tmp_path / "out/opentad.json").read_text())
    found = np.load(tmp_path / "out/v_a.npy")
    np.testing.assert_array_equal(found, ARRAYS["v_a"])
    assert found.dtype == np.float32
    index = np.arange(len(found))
    seconds = (index * facts["feature_stride"] * facts["sample_stride"] + facts["offset_frames"]) / facts["fps"]
    np.testing.assert_allclose(seconds, TIMES, rtol=0, atol=1e-12)
    database = json.loads((tmp_path / "out/annotations.json").read_text())["database"]
    assert database["v_a"] == {
        "subset": "training",
        "duration": 10.0,
        "frame": 150,
        "annotations": [{"segment": [1.0, 2.5], "label": "run"}],
    }
    assert (tmp_path / "out/category_idx.txt").read_text() == "run\n"
    assert (tmp_path / "out/missing_files.txt").read_text() == "v_gone\n"


def test_actionformer(features, tmp_path):
    export("actionformer", features, tmp_path / "out")
    options = json.loads((tmp_path / "out/actionformer.json").read_text())
    index = (TIMES * options["default_fps"] - 0.5 * options["num_frames"]) / options["feat_stride"]
    np.testing.assert_allclose(index, np.arange(6), rtol=0, atol=1e-12)
    assert options["input_dim"] == np.load(tmp_path / "out/v_b.npy").shape[1] == 2


def test_bmn_and_gtad_have_a_fixed_number_of_steps(features, tmp_path):
    export("bmn", features, tmp_path / "csv")
    rows = np.loadtxt(tmp_path / "csv/v_a.csv", delimiter=",", skiprows=1)
    assert rows.shape == (100, 2)
    export("gtad", features, tmp_path / "h5", length=100)
    with h5py.File(tmp_path / "h5/features.h5") as file:
        kept = file["v_a"][()]
    np.testing.assert_array_equal(rows.astype(np.float32), kept)
    np.testing.assert_array_equal(kept, resample_time(ARRAYS["v_a"], 100))
    # Step i of T stands for the share (i + 0.5) / T of the clips: in the middle the feature is the index itself.
    middle = (np.arange(100) + 0.5) / 100 * 6 - 0.5
    inside = (middle >= 0) & (middle <= 5)
    np.testing.assert_allclose(kept[inside, 0] / 2, middle[inside], rtol=0, atol=1e-5)


def test_bmt_adds_a_flow_of_zeros(features, tmp_path):
    export("bmt", features, tmp_path / "out")
    rgb, flow = (np.load(tmp_path / f"out/v_a_{stream}.npy") for stream in ("rgb", "flow"))
    np.testing.assert_array_equal(rgb + flow, ARRAYS["v_a"])
    assert not flow.any()


def test_pkl_is_the_released_layout(features, tmp_path):
    export("pkl", features, tmp_path / "out")
    found = pickle.loads((tmp_path / "out/v_a.pkl").read_bytes())  # noqa: S301  (written a line ago)
    np.testing.assert_array_equal(found, ARRAYS["v_a"])


def test_times_are_never_guessed(tmp_path):
    released = write(tmp_path / "released.h5", {})
    with pytest.raises(TspError, match="states no stride"):
        export("opentad", released, tmp_path / "out")
    export("opentad", released, tmp_path / "out", timing=Timing(stride=1, fps=15.0, clip_length=16))
    assert json.loads((tmp_path / "out/opentad.json").read_text())["feature_stride"] == 1
    with pytest.raises(TspError, match="omit the options"):
        export("opentad", write(tmp_path / "f.h5", FACTS), tmp_path, timing=Timing(stride=1, fps=15.0, clip_length=16))


def test_unknown_layout(features, tmp_path):
    with pytest.raises(TspError, match="'opentads' is not a layout; allowed: opentad"):
        export("opentads", features, tmp_path)
