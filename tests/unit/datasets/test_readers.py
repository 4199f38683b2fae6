"""Readers of official annotations, on files of a few lines."""

import gzip
import json

import pytest

from tsp.datasets import activitynet, thumos14
from tsp.errors import TspError


def spans(video):
    return [(s.start_s, s.end_s, s.label) for s in video.segments]


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def entry(*actions, subset="training", **more):
    annotations = [{"segment": [a, b], "label": label} for a, b, label in actions]
    return {"subset": subset, "duration": 90.5, "annotations": annotations, **more}


def test_activitynet_as_published(tmp_path):
    database = {
        "v_x-_1": entry((5, 3.5, "Polo"), (5, 3.5, "Polo"), resolution="640x360", url="https://y/watch?v=v_x-_1"),
        "abc": entry((1.25, 99, "Ping-pong"), subset="validation"),
        "blind": {"subset": "testing", "duration": 7},
    }
    videos = activitynet.read([write(tmp_path / "a.json", {"database": database})])
    assert [v.name for v in videos] == ["v_x-_1", "abc", "blind"]
    # An id that begins with v_ keeps it; the file name has the prefix in addition.
    assert [v.filename for v in videos] == ["v_v_x-_1.mp4", "v_abc.mp4", "v_blind.mp4"]
    assert [v.subset for v in videos] == ["training", "validation", "testing"]
    # Duplicates, inverted and overlong segments are kept.
    assert spans(videos[0]) == [(5.0, 3.5, "Polo")] * 2
    assert spans(videos[1]) == [(1.25, 99.0, "Ping-pong")]
    assert spans(videos[2]) == []
    assert videos[0].source == "https://y/watch?v=v_x-_1"
    assert videos[0].duration_s == 90.5
    assert "resolution" not in videos[0].extra


def test_activitynet_with_a_prefix_on_every_name(tmp_path):
    database = {"v_a": entry((0, 1, "x")), "v_b": entry((0, 1, "y"))}
    videos = activitynet.read([write(tmp_path / "a.json", {"database": database})])
    assert [(v.name, v.filename) for v in videos] == [("a", "v_a.mp4"), ("b", "v_b.mp4")]


BMN = {"duration_second": 12.5, "duration_frame": 300, "annotations": [{"segment": [1, 2.5], "label": "Polo"}]}


def test_activitynet_in_the_form_of_bmn(tmp_path):
    with gzip.open(tmp_path / "bmn.json.gz", "wt") as file:
        json.dump({"v_abc": {**BMN, "feature_frame": 288, "rfps": 1}, "v_v_d": BMN}, file)
    first, second = activitynet.read([tmp_path / "bmn.json.gz"])
    assert (first.name, first.filename, first.subset, first.duration_s) == ("abc", "v_abc.mp4", "", 12.5)
    assert spans(first) == [(1.0, 2.5, "Polo")]
    assert first.extra == {"duration_frame": 300, "feature_frame": 288}
    assert second.name == "v_d"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "expected an object with 'database'"),
        ({}, "expected an object with 'database'"),
        ({"v_a": {"duration_second": 3}}, "'v_a': expected duration_second and annotations"),
        ({"v_a": 5}, "'v_a'"),
        ({"v_a": {**BMN, "annotations": [{"segment": [1], "label": "x"}]}}, "'v_a'"),
        ({"database": {"a": {"duration": 3}}}, "'a'"),
        ({"database": []}, "no 'database' object"),
        ("{", "a.json"),
    ],
)
def test_activitynet_of_neither_form(tmp_path, document, message):
    with pytest.raises(TspError, match=message):
        activitynet.read([write(tmp_path / "a.json", document)])


OFFICIAL = {
    "abc": {"subset": "training", "duration": 12.5, "annotations": [{"segment": [1, 2.5000000001], "label": "Polo"}]},
    "gone": {"subset": "training", "duration": 3, "annotations": [], "url": "https://y/gone"},
    "v_d": {"subset": "validation", "duration": 12.5, "url": "https://y/v_d"},
}
LIST = "video,numFrame,subset\nv_v_d,300,validation\nv_abc,300,training\n"


@pytest.fixture
def activitynet_files(tmp_path):
    """The official JSON, BMN's annotations, list of videos and list of actions."""
    bmn = {"v_abc": {**BMN, "feature_frame": 288}, "v_v_d": {**BMN, "feature_frame": 304}}
    official = write(tmp_path / "official.json", {"database": OFFICIAL})
    listed = write(tmp_path / "video_info_new.csv", LIST)
    actions = write(tmp_path / "action_name.csv", "action\nPolo\n")
    return [official, write(tmp_path / "bmn.json", bmn), listed, actions]


def test_files_of_activitynet_complete_one_another(activitynet_files):
    official, bmn, listed, _ = activitynet_files
    with_frames = activitynet.read([official, bmn])
    assert [(v.name, v.subset) for v in with_frames] == [(n, e["subset"]) for n, e in OFFICIAL.items()]
    assert [v.extra.get("feature_frame") for v in with_frames] == [288, None, 304]
    # The first file that states a fact counts: the official end of the action, its addresses.
    assert spans(with_frames[0]) == [(1.0, 2.5000000001, "Polo")]
    assert spans(with_frames[2]) == [(1.0, 2.5, "Polo")]
    assert with_frames[2].source == "https://y/v_d"
    # A list is a selection, an order and a split.
    split = activitynet.read([official, listed])
    assert [(v.name, v.subset) for v in split] == [("v_d", "validation"), ("abc", "training")]
    assert not any("feature_frame" in v.extra for v in split)
    everything = activitynet.read(activitynet_files)
    assert everything == [with_frames[2], with_frames[0]]
    without_official = activitynet.read([listed, bmn])
    assert [(v.name, v.subset, v.source) for v in without_official] == [
        ("v_d", "validation", ""),
        ("abc", "training", ""),
    ]


def test_files_of_activitynet_that_disagree(activitynet_files, caplog):
    official, bmn, listed, _ = activitynet_files
    write(bmn, {"v_abc": {**BMN, "duration_second": 125, "feature_frame": 288}})
    write(listed, LIST.replace("300,training", "300,validation").replace("v_v_d,300,validation\n", ""))
    (video,) = activitynet.read([official, bmn, listed])
    assert (video.duration_s, video.subset) == (12.5, "validation")
    assert "duration or actions of 1 videos differ" in caplog.text
    assert "1 videos are in another subset than annotated, such as 'abc'" in caplog.text


@pytest.mark.parametrize(
    ("picked", "contents", "message"),
    [
        ([2], None, "no annotations in .*video_info_new.csv.*add the official JSON"),
        ([0, 0], None, r"one file of each kind, got 2 with a database"),
        ([1, 2], "video,subset\nv_abc,training\nv_other,training\n", "1 of 2 videos have no annotations.*'other'"),
        ([1, 2], "video,subset\nv_abc,training\nv_abc,validation\n", "'abc' occurs twice"),
        ([1, 2], "video\nv_abc\n", "subset"),
        ([1, 3], "action\nTango\n", "label 'Polo' of video 'abc' is none of its 1 actions"),
    ],
)
def test_files_of_activitynet_that_do_not_fit(activitynet_files, tmp_path, picked, contents, message):
    paths = [activitynet_files[k] for k in picked]
    if contents is not None:
        write(paths[-1], contents)
    if picked == [0, 0]:
        paths[1] = write(tmp_path / "again.json", {"database": OFFICIAL})
    with pytest.raises(TspError, match=message):
        activitynet.read(paths)


CSV = """video,type,video_duration,start,end
video_test_0000004,CricketBowling,33.7,0.2,1.1
video_test_0000004,Ambiguous,33.7,5,6
video_validation_0000171,CricketBowling,70,10,12.5
video_validation_0000171,CricketShot,70,11,13
video_validation_0000171,CricketBowling,70,2,3
"""


def test_thumos14_tables(tmp_path):
    test, valid = thumos14.read([write(tmp_path / "a.csv", CSV)])
    assert (test.name, test.filename, test.subset) == ("video_test_0000004", "video_test_0000004.mp4", "test")
    assert test.duration_s is None
    assert spans(test) == [(0.2, 1.1, "CricketBowling")]
    assert valid.subset == "validation"
    # The released block order of this video is shots first; within a block the order of the file is kept.
    assert spans(valid) == [(11, 13, "CricketShot"), (10, 12.5, "CricketBowling"), (2, 3, "CricketBowling")]


def test_thumos14_as_json(tmp_path):
    database = {"video_validation_0000002": entry((3, 4, "Diving"), (5, 6, "Ambiguous"), subset="Val", fps=30)}
    (video,) = thumos14.read([write(tmp_path / "a.json", {"database": database})])
    assert spans(video) == [(3, 4, "Diving")]
    assert (video.subset, video.duration_s, video.extra) == ("validation", 90.5, {"fps": 30})
    assert video.filename == "video_validation_0000002.mp4"


def test_thumos14_joins_files_by_name(tmp_path):
    header = "video,type,start,end\n"
    later = write(tmp_path / "b.csv", header + "video_validation_0000009,Diving,1,2\n")
    earlier = write(tmp_path / "a.csv", header + "video_validation_0000001,Diving,1,2\n")
    assert [v.name[-1] for v in thumos14.read([later, earlier])] == ["1", "9"]
    with pytest.raises(TspError, match=r"b\.csv: video 'video_validation_0000009' is also in another file"):
        thumos14.read([later, later])


def test_thumos14_without_a_column(tmp_path):
    with pytest.raises(TspError, match="column 'end' is missing"):
        thumos14.read([write(tmp_path / "a.csv", "video,type,start\na,b,1\n")])


FRAMES = """video,type,start,end,startFrame,endFrame
video_test_0000004,Diving,10.0,12.0,251,300
video_test_0000004,Ambiguous,20,21,500,525
video_test_0000006,Diving,1,2,30,60
"""
FACTS = """video-name,t-init,t-end,f-init,f-end,video-duration,frame-rate,video-frames,label-idx
video_test_0000004,10,12,251,300,40.5,24.97,1012,7
video_test_0000004,20,21,500,525,40.5,24.97,1012,-1
video_test_0000999,1,2,25,50,9,25,225,7
"""


def test_thumos14_in_frames(tmp_path):
    table = write(tmp_path / "a.csv", FRAMES)
    first, second = thumos14.read([table])
    assert first.extra == {"segment_frames": [[251, 300]], "ambiguous_frames": [[500, 525]], "frame_rate": 25.0}
    assert second.extra == {"segment_frames": [[30, 60]], "frame_rate": 30.0}
    first, second = thumos14.read([table, write(tmp_path / "thumos14_test_groundtruth.csv", FACTS)])
    assert (first.extra["frame_rate"], first.extra["frames"], first.duration_s) == (24.97, 1012, 40.5)
    assert (second.extra["frame_rate"], second.duration_s) == (30.0, None)
