"""Features of a subset in memory."""

import tracemalloc

import h5py
import numpy as np
import pytest

from tsp.errors import TspError
from tsp.features.resample import resample_time
from tsp.io.annotations import read_annotations, write_annotations
from tsp.io.features import FeatureFile, feature_writer
from tsp.localise.data import read_subset
from tsp.localise.windows import Windows, cut, frame_facts, snippets, window_starts
from tsp.types import Segment, Video

VIDEOS, CHANNELS, LENGTH = 60, 128, 100
CUT = Windows(step_frames=5, fps=15.0, overlap=0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Videos of 1 to 120 clips."""
    folder, rng = tmp_path_factory.mktemp("subset"), np.random.default_rng(0)
    action, videos = (Segment(start_s=1.0, end_s=9.0, label="x"),), []
    with feature_writer(folder / "f.h5", {"stride": 16, "fps": 15, "clip_length": 16}) as writer:
        for k, clips in enumerate(rng.integers(1, 120, VIDEOS)):
            kind = {"subset": "s", "duration_s": float(clips), "segments": action}
            videos.append(Video(name=str(k), filename=f"{k}.mp4", **kind))
            writer.write(str(k), rng.normal(size=(clips, CHANNELS)).astype(np.float32))
    write_annotations(folder / "a.json", videos)
    return folder


@pytest.mark.parametrize("windows", [None, CUT], ids=["whole videos", "windows"])
def test_features_are_held_once(data, windows):
    """At most 1.3 times their array, which joining the arrays of single videos takes twice."""
    arguments = (data / "f.h5", data / "a.json", "s", LENGTH)
    read_subset(*arguments, align_corners=False, windows=windows)
    tracemalloc.start()
    found = read_subset(*arguments, align_corners=False, windows=windows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.features.nbytes > 2e6
    assert peak <= 1.3 * found.features.nbytes


@pytest.mark.parametrize("windows", [None, CUT], ids=["whole videos", "windows"])
def test_features_are_those_of_each_video(data, windows):
    found = read_subset(data / "f.h5", data / "a.json", "s", LENGTH, align_corners=False, windows=windows)
    expected, names, firsts = [], [], []
    with FeatureFile(data / "f.h5") as file:
        for video in read_annotations(data / "a.json"):
            row = file[video.key]
            if windows is None:
                expected.append(resample_time(row, LENGTH).T[None])
            else:
                _, frames = frame_facts(video, len(row), file.attributes, windows)
                at_steps = snippets(row, frames, windows, align_corners=False)
                starts = window_starts(len(at_steps), LENGTH, windows)
                expected.append(cut(at_steps, starts, LENGTH))
                firsts += starts.tolist()
            names += [video.name] * len(expected[-1])
    np.testing.assert_array_equal(found.features, np.concatenate(expected))
    assert [video.name for video in found.videos] == names
    assert [window.first for window in found.windows] == firsts


@pytest.mark.parametrize("windows", [None, CUT], ids=["whole videos", "windows"])
@pytest.mark.parametrize("made", ["group", "scalar", "other width", "empty"])
def test_what_is_no_features_of_the_others_width(data, tmp_path, windows, made):
    path = tmp_path / "f.h5"
    path.write_bytes((data / "f.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        del file["7"]
        if made == "group":
            file.create_group("7")
        else:
            file["7"] = {"scalar": 1.0, "other width": np.ones((3, 5)), "empty": np.ones((0, CHANNELS))}[made]
    with pytest.raises(TspError, match=f"features of '7' have shape .*, expected \\[n, {CHANNELS}\\]"):
        read_subset(path, data / "a.json", "s", LENGTH, align_corners=False, windows=windows)
