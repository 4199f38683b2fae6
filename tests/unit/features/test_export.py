"""Exports, read as the other projects read them, with their formulas from index to seconds."""

import json
import pickle
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from tsp.errors import TspError
from tsp.features.export import LAYOUTS, export
from tsp.features.exporting import Timing
from tsp.features.resample import resample_time
from tsp.io.annotations import read_annotations, write_annotations
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


def annotated(path, names, subset="training", *, prefix="v_", duration_s=10.0, label="run"):
    """Canonical annotations of videos with one action each."""
    action = (Segment(start_s=1.0, end_s=2.5, label=label),)
    kind = {"subset": subset, "duration_s": duration_s, "segments": action}
    videos = [Video(name=name, filename=f"{prefix}{name}.mp4", **kind) for name in names]
    old = read_annotations(path) if path.exists() else []
    write_annotations(path, [*old, *videos])
    return path


def lines_of(folder):
    """The receiver's lines in the README, without comments."""
    block = (folder / "README.md").read_text().split("```")[1].split("\n", 1)[1]
    return re.sub(r"^ *#.*\n", "", block, flags=re.MULTILINE)


def opentad_dataset(folder, subset):
    """What OpenTAD's data set of padded features makes of the folder, with the lines of its README.

    Returns:
        Per video: its array, and its actions in units of the array's rows, back in seconds.
    """
    text = lines_of(folder)
    text = re.sub(r"^dict\(type=\"LoadFeats.*$", lambda m: f"load = {m[0]}", text, flags=re.MULTILINE)
    text = re.sub(r"^feature_stride=(.*)$", r"numbers = dict(feature_stride=\1)", text, flags=re.MULTILINE)
    config = {}
    exec(text, config)
    blocked = Path(config["block_list"]).read_text().splitlines()
    database = json.loads(Path(config["annotation_path"]).read_text())["database"]
    classes = Path(config["class_map"]).read_text().splitlines()
    numbers, found = config["numbers"], {}
    for name, video in database.items():
        if name in blocked or video["subset"] not in subset:
            continue
        array = np.load(Path(config["data_path"]) / f"{config['load'].get('prefix', '')}{name}.npy")
        fps = numbers.get("fps", -1)
        fps = fps if fps > 0 else float(video["frame"]) / float(video["duration"])
        step = numbers["feature_stride"] * numbers["sample_stride"]
        at = [[(t * fps - numbers["offset_frames"]) / step for t in a["segment"]] for a in video["annotations"]]
        assert all(classes.index(a["label"]) >= 0 for a in video["annotations"])
        seconds = [[(p * step + numbers["offset_frames"]) / fps for p in pair] for pair in at]
        found[name] = (array, at, seconds, video)
    return found, config


def test_opentad_on_activitynet(features, tmp_path):
    annotated(tmp_path / "a.json", ["a", "gone"])
    annotated(tmp_path / "a.json", ["b", "gone too"], "validation")
    scores = {"results": {"a": [0.5], "b": [0.7]}, "class": ["run"]}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    out = tmp_path / "out"
    export("opentad", features, out, annotations=tmp_path / "a.json", class_scores=tmp_path / "scores.json")
    facts = json.loads((out / "opentad.json").read_text())
    found = np.load(out / "v_a.npy")
    np.testing.assert_array_equal(found, ARRAYS["v_a"])
    assert found.dtype == np.float32
    index = np.arange(len(found))
    seconds = (index * facts["feature_stride"] * facts["sample_stride"] + facts["offset_frames"]) / facts["fps"]
    np.testing.assert_allclose(seconds, TIMES, rtol=0, atol=1e-12)
    database = json.loads((out / "annotations.json").read_text())["database"]
    # Names are those of ActivityNet; the prefix of the files is an option of OpenTAD.
    assert list(database) == ["a", "gone", "b", "gone too"]
    assert database["a"] == {
        "subset": "training",
        "duration": 10.0,
        "frame": 150,
        "annotations": [{"segment": [1.0, 2.5], "label": "run"}],
    }
    assert (out / "category_idx.txt").read_text() == "run\n"
    assert (out / "missing_files.txt").read_text() == "gone\ngone too\n"
    for subset, name in (("training", "a"), ("validation", "b")):
        videos, config = opentad_dataset(out, subset)
        assert list(videos) == [name]
        array, at, seconds, _ = videos[name]
        np.testing.assert_array_equal(array, ARRAYS[f"v_{name}"])
        np.testing.assert_allclose(seconds, [[1.0, 2.5]], atol=1e-12)
        # Row i stands at the time of feature i.
        np.testing.assert_allclose(feature_time(at[0], 16, 15.0, 16), [1.0, 2.5], atol=1e-12)
    assert json.loads(Path(config["evaluation"]["blocked_videos"]).read_text()) == ["gone", "gone too"]
    given = json.loads(Path(config["external_cls"]["path"]).read_text())
    assert given["results"]["b"] == [0.7]
    assert given["class"] == ["run"]
    assert config["load"] == {"type": "LoadFeats", "feat_format": "npy", "prefix": "v_"}
    assert config["in_channels"] == 2


THUMOS14 = {"video_validation_0000051": 31, "video_test_0000004": 10, "video_test_0000006": 1}


@pytest.fixture
def thumos14(tmp_path):
    """Features of every clip, in a file per subset, and annotations without durations as published."""
    facts = {"stride": 1, "fps": 15.0, "clip_length": 16}
    files = {}
    for subset in ("validation", "test"):
        files[subset] = tmp_path / f"{subset}.h5"
        with feature_writer(files[subset], facts) as writer:
            for name, clips in THUMOS14.items():
                if subset in name:
                    writer.write(name, np.full((clips, 2), clips, np.float32))
    options = {"prefix": "", "duration_s": None, "label": "Diving"}
    annotated(tmp_path / "a.json", ["video_validation_0000051", "video_validation_0000999"], "validation", **options)
    annotated(tmp_path / "a.json", ["video_test_0000004", "video_test_0000006"], "test", **options)
    return list(files.values()), tmp_path / "a.json"


def test_opentad_on_thumos14(thumos14, tmp_path):
    """Durations and frames are those of the features, and subsets are named as in its configuration."""
    files, annotations = thumos14
    export("opentad", files, tmp_path / "out", annotations=annotations)
    training, config = opentad_dataset(tmp_path / "out", "training")
    validation, _ = opentad_dataset(tmp_path / "out", "validation")
    assert list(training) == ["video_validation_0000051"]
    assert list(validation) == ["video_test_0000004", "video_test_0000006"]
    for name, (array, at, seconds, video) in {**training, **validation}.items():
        clips = THUMOS14[name]
        assert len(array) == clips
        assert video["frame"] == clips + 15
        assert video["duration"] == (clips + 15) / 15
        assert video["frame"] / video["duration"] == pytest.approx(15.0, abs=1e-12)
        np.testing.assert_allclose(seconds, [[1.0, 2.5]], atol=1e-12)
        np.testing.assert_allclose(feature_time(at[0], 1, 15.0, 16), [1.0, 2.5], atol=1e-12)
    assert "prefix" not in config["load"]
    # A video without features has no duration either: it is not annotated, but listed.
    text = (tmp_path / "out/annotations.json").read_text()
    assert "null" not in text
    assert "0000999" not in text
    assert (tmp_path / "out/missing_files.txt").read_text() == "video_validation_0000999\n"


def actionformer_dataset(folder, split):
    """What ActionFormer's readers make of the folder, with the lines of its README."""
    config = yaml.safe_load(lines_of(folder))
    options = config["dataset"]
    database = json.loads(Path(options["json_file"]).read_text())["database"]
    labels = {a["label"]: a["label_id"] for video in database.values() for a in video["annotations"]}
    assert options["num_classes"] in (1, len(labels))
    found = {}
    for name, video in database.items():
        if video["subset"].lower() not in config[f"{split}_split"]:
            continue
        array = np.load(Path(options["feat_folder"]) / f"{options['file_prefix'] or ''}{name}{options['file_ext']}")
        every = options.get("downsample_rate", 1)
        stride, window = options["feat_stride"] * every, options["num_frames"]
        times = np.array([a["segment"] for a in video["annotations"]])
        at = (times * options["default_fps"] - 0.5 * window) / stride
        assert float(video["duration"]) > 0
        found[name] = (array[::every], at, video, labels)
    return found, config


def test_actionformer_on_activitynet(features, tmp_path):
    annotated(tmp_path / "a.json", ["a", "gone"])
    annotated(tmp_path / "a.json", ["b"], "Validation", label="jump")
    scores = {"results": {"b": [0.2, 0.7]}, "class": ["run", "jump"]}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    out = tmp_path / "out"
    export("actionformer", features, out, annotations=tmp_path / "a.json", class_scores=tmp_path / "scores.json")
    # Its reader opens the features of every annotated video.
    training, config = actionformer_dataset(out, "train")
    validation, _ = actionformer_dataset(out, "val")
    assert (list(training), list(validation)) == (["a"], ["b"])
    np.testing.assert_array_equal(training["a"][0], ARRAYS["v_a"])
    np.testing.assert_allclose(feature_time(training["a"][1], 16, 15.0, 16), [[1.0, 2.5]], atol=1e-12)
    # Labels are places among the classes of the scores.
    assert validation["b"][3] == {"run": 0, "jump": 1}
    assert json.loads(Path(config["test_cfg"]["ext_score_file"]).read_text())["results"]["b"] == [0.2, 0.7]
    assert config["dataset"]["num_classes"] == 1
    assert config["dataset"]["input_dim"] == 2
    assert config["dataset"]["file_prefix"] == "v_"


def test_actionformer_on_thumos14(thumos14, tmp_path):
    files, annotations = thumos14
    export("actionformer", files, tmp_path / "out", annotations=annotations)
    training, config = actionformer_dataset(tmp_path / "out", "train")
    validation, _ = actionformer_dataset(tmp_path / "out", "val")
    assert (config["dataset_name"], config["dataset"]["num_classes"]) == ("thumos", 1)
    assert list(training) == ["video_validation_0000051"]
    assert list(validation) == ["video_test_0000004", "video_test_0000006"]
    for name, (array, at, video, _) in {**training, **validation}.items():
        assert video["duration"] == (THUMOS14[name] + 15) / 15
        assert video["fps"] == 15
        assert len(array) == -(-THUMOS14[name] // 2)
        np.testing.assert_allclose(feature_time(at, 2, 15.0, 16), [[1.0, 2.5]], atol=1e-12)


def test_actionformer_trains_on_videos_with_an_action(tmp_path):
    """Its reader fails on videos whose actions it drops; short ones are left out as in its own file."""
    segments = {"short": (1.0, 1.05), "late": (7.0, 9.0), "long": (1.0, 1.2), "kept": (1.0, 1.05)}
    videos = [
        Video(
            name=name,
            filename=f"v_{name}.mp4",
            subset="validation" if name == "kept" else "training",
            duration_s=10.0,
            segments=(Segment(start_s=start, end_s=end, label="run"),),
        )
        for name, (start, end) in segments.items()
    ]
    write_annotations(tmp_path / "a.json", videos)
    with feature_writer(tmp_path / "f.h5", FACTS) as writer:
        for video in videos:
            writer.write(video.key, np.ones((6, 2), np.float32))  # 6.4 s
    export("actionformer", tmp_path / "f.h5", tmp_path / "out", annotations=tmp_path / "a.json")
    assert list(json.loads((tmp_path / "out/annotations.json").read_text())["database"]) == ["long", "kept"]


def test_actionformer(features, tmp_path):
    export("actionformer", features, tmp_path / "out")
    options = json.loads((tmp_path / "out/actionformer.json").read_text())
    index = (TIMES * options["default_fps"] - 0.5 * options["num_frames"]) / options["feat_stride"]
    np.testing.assert_allclose(index, np.arange(6), rtol=0, atol=1e-12)
    assert options["input_dim"] == np.load(tmp_path / "out/v_b.npy").shape[1] == 2
    assert yaml.safe_load(lines_of(tmp_path / "out"))["dataset"]["default_fps"] == 15


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_export_says_how_it_is_configured(features, tmp_path, layout):
    export(layout, features, tmp_path / "out")
    text = (tmp_path / "out/README.md").read_text()
    assert "2 videos, 2 channels: clips of 16 frames every 16 frames at 15 frames per second" in text
    assert str(tmp_path / "out") in lines_of(tmp_path / "out")


def test_labels_that_a_receiver_could_not_load(features, tmp_path):
    path = annotated(tmp_path / "a.json", ["a"])
    annotated(path, ["b"], "validation")
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"results": {"a": [1.0]}, "class": ["run"]}))
    for layout in ("opentad", "actionformer"):
        with pytest.raises(TspError, match="no scores of 1 of 1 validation videos, such as 'b'"):
            export(layout, features, tmp_path / "out", annotations=path, class_scores=scores)
    scores.write_text(json.dumps({"results": {"b": [1.0]}, "class": ["jump"]}))
    with pytest.raises(TspError, match="no class scores of the label 'run'"):
        export("actionformer", features, tmp_path / "out", annotations=path, class_scores=scores)
    scores.write_text("[]")
    with pytest.raises(TspError, match=r"scores\.json: expected"):
        export("opentad", features, tmp_path / "out", annotations=path, class_scores=scores)
    with pytest.raises(TspError, match="--class-scores are written for opentad and actionformer"):
        export("bmn", features, tmp_path / "out", annotations=path, class_scores=scores)
    other = annotated(tmp_path / "other.json", ["x", "y"])
    with pytest.raises(TspError, match="none of the 2 annotated videos has features"):
        export("opentad", features, tmp_path / "out", annotations=other)


def test_features_of_several_files(features, tmp_path):
    with feature_writer(tmp_path / "more.h5", FACTS) as writer:
        writer.write("v_c", np.ones((1, 2), np.float32))
    export("pkl", [features, tmp_path / "more.h5"], tmp_path / "out")
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.pkl")) == ["v_a", "v_b", "v_c"]
    with pytest.raises(TspError, match="'v_a' is also in"):
        export("pkl", [features, features], tmp_path / "out")
    other = write(tmp_path / "other.h5", {**FACTS, "stride": 8})
    with pytest.raises(TspError, match="export them one by one"):
        export("pkl", [features, other], tmp_path / "out")


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
