"""Tables, features, predictions and annotations: round trips, and rejection of invalid files."""

import json

import numpy as np
import pandas as pd
import pytest

from tsp.errors import TspError
from tsp.io.annotations import read_annotations, write_annotations
from tsp.io.features import FeatureFile, failed_attributes, feature_writer, merge_features
from tsp.io.files import write_json
from tsp.io.predictions import read_predictions, write_predictions, write_thumos14
from tsp.io.tables import LIST_COLUMNS, METADATA_COLUMNS, read_metadata, read_table, write_table
from tsp.types import Segment, Video

FACTS = {"stride": 16, "fps": 15, "clip_length": 16, "encoder": "x", "weights_sha256": "0"}


def test_names_that_look_like_numbers_or_missing_values_stay_text(tmp_path):
    names = ["NA", "null", "1e5", "007", "-x", 'a "b", c', "ü"]
    write_table(pd.DataFrame({"video": names, "filename": names, "source": ""}), tmp_path / "list.csv")
    assert read_table(tmp_path / "list.csv", LIST_COLUMNS)["video"].tolist() == names


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "m.csv").write_text("filename,fps\na.mp4,30\n")
    with pytest.raises(TspError, match="video-duration"):
        read_metadata(tmp_path / "m.csv")


def test_a_wrong_number_is_named(tmp_path):
    (tmp_path / "m.csv").write_text(",".join(METADATA_COLUMNS) + "\na.mp4,x,30,5\n")
    with pytest.raises(TspError, match=r"a\.mp4: video-duration is 'x'"):
        read_metadata(tmp_path / "m.csv")


def test_an_empty_file_is_no_table(tmp_path):
    (tmp_path / "m.csv").write_text("")
    with pytest.raises(TspError, match=r"m\.csv"):
        read_metadata(tmp_path / "m.csv")


def test_features_round_trip_in_order(tmp_path):
    path = tmp_path / "f.h5"
    data = {"v_b": np.ones((3, 4), np.float32), "-a b": np.zeros((0, 4), np.float32)}
    with feature_writer(path, FACTS) as writer:
        for name, array in data.items():
            writer.write(name, array)
    with FeatureFile(path) as file:
        assert file.names == list(data)
        assert file.attributes == FACTS
        for name, array in data.items():
            np.testing.assert_array_equal(file[name], array)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e300])
def test_features_that_are_not_finite_are_refused(tmp_path, number):
    with pytest.raises(TspError, match="not finite"), feature_writer(tmp_path / "f.h5", FACTS) as writer:
        writer.write("a", np.full((1, 2), number))
    assert not list(tmp_path.iterdir())


def test_missing_features_name_file_and_video(tmp_path):
    with feature_writer(tmp_path / "f.h5", FACTS) as writer:
        writer.write("v_a", np.ones((1, 2)))
    with pytest.raises(TspError, match="v_missing"):
        FeatureFile(tmp_path / "f.h5")["v_missing"]


def test_merging_keeps_order_and_refuses_mixed_shards(tmp_path):
    paths = [tmp_path / f"{n}.h5" for n in range(3)]
    for number, path in enumerate(paths):
        with feature_writer(path, FACTS if number < 2 else {**FACTS, "stride": 8}) as writer:
            writer.write(f"v{1 - number}", np.full((1, 2), number))
    merge_features(paths[:2], tmp_path / "all.h5")
    with FeatureFile(tmp_path / "all.h5") as file:
        assert file.names == ["v1", "v0"]
    with pytest.raises(TspError, match="stride is 8"):
        merge_features(paths, tmp_path / "all.h5")


def test_joined_shards_tell_all_failures(tmp_path):
    for name in "abc":
        failed = {} if name == "a" else {f"{name}.mp4": "no frames"}
        with feature_writer(tmp_path / f"{name}.h5", FACTS | failed_attributes(failed)) as writer:
            writer.write(name, np.zeros((2, 3)))
    merge_features([tmp_path / f"{name}.h5" for name in "abc"], tmp_path / "all.h5")
    with FeatureFile(tmp_path / "all.h5") as file:
        assert json.loads(file.attributes["failed"]) == {"b.mp4": "no frames", "c.mp4": "no frames"}
        assert file.attributes["n_failed"] == 2


def test_a_text_file_is_no_feature_file(tmp_path):
    (tmp_path / "f.h5").write_text("no")
    with pytest.raises(TspError, match=r"f\.h5"):
        FeatureFile(tmp_path / "f.h5")


def test_predictions_keep_full_precision(tmp_path):
    entry = {"label": "A", "score": 0.1 + 0.2, "segment": [1 / 3, 2 / 3]}
    write_predictions(tmp_path / "p.json", {"v": [entry]}, version="test")
    assert read_predictions(tmp_path / "p.json") == {"v": [entry]}


@pytest.mark.parametrize(
    "entry", [{}, {"segment": [0], "score": 1}, {"segment": [0, "x"], "score": 1}, {"segment": [0, 1]}, 3]
)
def test_a_broken_prediction_is_named(tmp_path, entry):
    write_json(tmp_path / "p.json", {"results": {"v": [{"segment": [0, 1], "score": 1}, entry]}})
    with pytest.raises(TspError, match=r"results\['v'\]\[1\]"):
        read_predictions(tmp_path / "p.json")


@pytest.mark.parametrize(
    "segment", [[0, float("nan")], [0], "01", [0, 10**400], {"start": 0, "end": 1}, [[0], [1]], [None, 1]]
)
@pytest.mark.parametrize("write", [lambda p, r: write_predictions(p, r, version="x"), write_thumos14])
def test_a_broken_prediction_is_not_written(tmp_path, segment, write):
    entry = {"segment": segment, "score": 1, "label": "Diving"}
    with pytest.raises(TspError, match=r"results\['v'\]\[0\]: .*segment"):
        write(tmp_path / "p.json", {"v": [entry]})
    assert not list(tmp_path.iterdir())


def test_thumos14_text_keeps_full_precision(tmp_path):
    entry = {"label": "CliffDiving", "score": 0.1 + 0.2, "segment": [1 / 3, 2 / 3]}
    write_thumos14(tmp_path / "p.txt", {"video_test_0000004": [entry], "none": []})
    assert (tmp_path / "p.txt").read_text().split()[3] == "22"
    assert read_predictions(tmp_path / "p.txt") == {"video_test_0000004": [entry]}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("v 0 1 22", "line 3: 4 columns"),
        ("v 0 1 Diving 0.5", "line 3: expected video"),
        ("v 0 x 22 0.5", "line 3: expected video"),
        ("v 0 1 8 0.5", "line 3: class 8 is none of the THUMOS14 classes"),
        ("v 0 1 22 nan", "line 3: segment or score is not finite"),
    ],
)
def test_a_broken_line_of_thumos14_is_named(tmp_path, line, text):
    (tmp_path / "p.txt").write_text(f"v 0 1 22 0.5\n\n{line}\n")
    with pytest.raises(TspError, match=text) as error:
        read_predictions(tmp_path / "p.txt")
    assert "p.txt" in str(error.value)


@pytest.mark.parametrize(
    ("video", "label", "text"), [("a b", "Diving", "spaces"), ("a", "run", "none of the 20 THUMOS14")]
)
def test_thumos14_text_cannot_hold_everything(tmp_path, video, label, text):
    with pytest.raises(TspError, match=text):
        write_thumos14(tmp_path / "p.txt", {video: [{"segment": [0, 1], "score": 1, "label": label}]})


def test_annotations_round_trip(tmp_path):
    segments = (Segment(start_s=0.5, end_s=2.25, label="run"),)
    video = Video(
        name="-x", filename="v_-x.mp4", subset="training", duration_s=9.5, segments=segments, source="s", extra={"k": 1}
    )
    write_annotations(tmp_path / "a.json", [video])
    assert read_annotations(tmp_path / "a.json") == [video]
    assert video.key == "v_-x"


def test_a_video_twice_is_refused(tmp_path):
    video = Video(name="x", filename="x.mp4", subset="s", duration_s=None, segments=())
    with pytest.raises(TspError, match="twice"):
        write_annotations(tmp_path / "a.json", [video, video])


@pytest.mark.parametrize(
    "annotation",
    [3, {}, {"segment": [0], "label": "A"}, {"segment": [0, 1, 2], "label": "A"}, {"segment": [0, 1], "label": None}],
)
def test_a_broken_annotation_is_named(tmp_path, annotation):
    good = {"segment": ["0", 1], "label": "A"}
    write_json(tmp_path / "a.json", {"database": {"x": {"subset": "s", "annotations": [good, annotation]}}})
    with pytest.raises(TspError, match=r"a\.json: database\['x'\]: annotations\[1\]: "):
        read_annotations(tmp_path / "a.json")


@pytest.mark.parametrize(
    "document",
    [[], {}, {"database": {"x": {}}}, {"database": {"x": 1}}, {"database": {"x": {"subset": "s", "annotations": {}}}}],
)
def test_broken_annotations_are_named(tmp_path, document):
    write_json(tmp_path / "a.json", document)
    with pytest.raises(TspError, match=r"a\.json"):
        read_annotations(tmp_path / "a.json")
