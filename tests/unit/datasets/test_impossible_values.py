"""Impossible values in annotations: one line that names them, no traceback and no silent other value."""

import json
import os

import pandas as pd
import pytest

from tsp.datasets import activitynet, thumos14
from tsp.datasets.examine import STRICT, Policy, examine
from tsp.datasets.folder import read
from tsp.datasets.ground_truth import read_source
from tsp.datasets.listing import write_report
from tsp.errors import TspError
from tsp.io.files import files_below
from tsp.io.tables import METADATA_COLUMNS, write_table
from tsp.types import Segment, Video

OWN = (
    "video-name,t-start,t-end,action-label,video-duration,filename,fps,video-frames,temporal-region-label\n"
    "v,{start},4,run,{seconds},v.mp4,30,300,{region}\n"
)


def document(**changes):
    entry = {"subset": "training", "duration": 10, "annotations": [{"segment": [1, 4], "label": "run"}]}
    return json.dumps({"database": {"v": {**entry, **changes}}})


def segment(times):
    return document(annotations=[{"segment": times, "label": "run"}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (segment([float("nan"), 4]), "'v': segment nan - 4 s"),
        (segment([1, float("inf")]), "'v': segment 1 - inf s"),
        (document(duration=float("nan")), "'v': duration nan"),
        (segment("14"), "segment is '14'"),
        (segment({"1": 2, "4": 3}), "segment is {"),
        (segment([False, True]), "segment is "),
        (document(duration=True), "duration True"),
        (document(subset=None), "subset None"),
        (document(duration=-5), "'v': duration -5: expected seconds"),
        (document(duration="1_0"), "duration '1_0'"),
        (segment(["1_0", 40]), "a time '1_0'"),
        (document(doubts=5), "doubts 5: expected names of findings"),
        (document(frames=float("nan")), "'v': frames nan: expected a number"),
        (document(feature_frame="many"), "'v': feature_frame 'many': expected a number"),
        ('{"database": {"v": {"subset": "a"}, "v": {"subset": "a"}}}', "'v' occurs twice"),
        (
            '{"v_a": {"duration_second": 9, "annotations": [{"segment": [1, 2, 3], "label": "run"}]}}',
            "expected segment",
        ),
        ('{"v_a": {"duration_second": 9, "annotations": [{"segment": [1, 2], "label": null}]}}', "the label is None"),
    ],
)
def test_activitynet(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(TspError) as error:
        read_source(activitynet.read, [path])
    assert message in str(error.value)


@pytest.mark.parametrize("row", ["1,,", "NA,4,", "abc,4,", "True,False,", '"1,000",4,', "1,inf,", "1,4,x"])
def test_thumos14(tmp_path, row):
    path = tmp_path / "t.csv"
    path.write_text(f"video,type,start,end,startFrame,endFrame\nvideo_validation_1,run,{row},9\n")
    with pytest.raises(TspError, match="expected"):
        read_source(thumos14.read, [path])


@pytest.mark.parametrize(
    "change", [{"start": ""}, {"start": "a"}, {"seconds": ""}, {"region": "action"}, {"region": "Action "}]
)
def test_our_own_table(tmp_path, change):
    path = tmp_path / "groundtruth.csv"
    path.write_text(OWN.format(**{"start": 1, "seconds": 10, "region": "Action", **change}))
    with pytest.raises(TspError, match="expected"):
        read_source(activitynet.read, [path])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("video,t-start,t-end,label\na,,,run\n", "line 2: label 'run' without times"),
        ("video,t-start,t-end,label,t-start\na,1,2,run,7\n", "column 't-start' occurs twice"),
        ("video,t-start,t-end,label\na,1,inf,run\n", "segment 1 - inf s"),
        ("video,t-start,t-end,label\na,1,1_0,run\n", "t-end '1_0': expected seconds"),
    ],
)
def test_a_folder(tmp_path, table, message):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").write_bytes(b"")
    (tmp_path / "s.csv").write_text(table)
    with pytest.raises(TspError, match=message):
        read_source(read, [tmp_path / "videos", tmp_path / "s.csv"])


def test_a_duration_of_0_is_unknown(tmp_path):
    (tmp_path / "a.json").write_text(document(duration=0))
    assert [v.duration_s for v in read_source(activitynet.read, [tmp_path / "a.json"])] == [None]


def test_a_link_to_itself_is_no_file(tmp_path):
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "a.mp4").write_bytes(b"")
    assert [path.name for path in files_below(tmp_path)] == ["a.mp4"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(TspError, match="cannot be listed"):
        files_below(tmp_path)


def policy(rule="clean"):
    return Policy.of(dict.fromkeys(STRICT), rule, ("training",), ("run",))


def test_a_start_far_before_the_video_is_outside():
    segments = (Segment(start_s=-3.0, end_s=4.0, label="run"), Segment(start_s=5.0, end_s=6.0, label="run"))
    video = Video(name="v", filename="v.mp4", subset="training", duration_s=10.0, segments=segments)
    kept, findings = examine([video], policy())
    assert [(f.finding, f.action) for f in findings] == [("outside", "drop")]
    assert kept[0].segments == segments[1:]


def test_what_stated_durations_drop_is_reported(tmp_path):
    """10 s are stated, the video has 300 s: step `annotations` drops the second segment."""
    found = [{"segment": [1, 4], "label": "run"}, {"segment": [12, 20], "label": "run"}]
    (tmp_path / "a.json").write_text(document(annotations=found))
    write_table(pd.DataFrame([["v_v.mp4", 300.0, 30.0, 9000]], columns=METADATA_COLUMNS), tmp_path / "m.csv")
    reader, sources = "tsp.datasets.activitynet:read", [str(tmp_path / "a.json")]
    write_report(reader, sources, [tmp_path / "m.csv"], tmp_path / "r.csv", policy())
    assert "outside" in (tmp_path / "r.csv").read_text()
