"""Doubtful annotations: what is found, what happens to it, and that no background comes of it."""

import json
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from tsp.config.load import build
from tsp.datasets import activitynet
from tsp.datasets.config import BackgroundConfig, ExamineConfig
from tsp.datasets.examine import STRICT, Policy, durations, examine, refuse
from tsp.datasets.ground_truth import DOUBTS, ground_truth
from tsp.datasets.listing import write_canonical, write_list, write_report
from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.tables import METADATA_COLUMNS, NO_ACTION, write_table
from tsp.types import Segment, Video

READER = "tsp.datasets.activitynet:read"


def policy(rule="clean", subsets=("training",), labels=("run", "jump"), **actions):
    options = {**dict.fromkeys(STRICT), **actions}
    return Policy.of(options, rule, subsets, labels)


def video(*segments, seconds=10.0, subset="training", name="v", **extra):
    parts = tuple(Segment(start_s=a, end_s=b, label=label) for a, b, label in segments)
    return Video(name=name, filename=f"{name}.mp4", subset=subset, duration_s=seconds, segments=parts, extra=extra)


GOOD = (1.0, 4.0, "run")


@pytest.mark.parametrize(
    ("segments", "options", "real_s", "found"),
    [
        ([GOOD], {}, 10.0, []),
        ([GOOD, (5.0, 10.9, "run")], {}, 10.0, []),  # within a second
        ([GOOD, (12.0, 15.0, "run")], {}, None, [("outside", "drop")]),
        ([GOOD, (8.0, 15.0, "run")], {"seconds": 20.0}, 10.0, [("duration", "keep"), ("outside", "drop")]),
        ([GOOD, (8.0, 3.0, "run")], {}, None, [("reversed", "error")]),
        ([GOOD, (5.0, 5.02, "run")], {}, None, [("zero_length", "drop")]),
        ([GOOD, GOOD], {}, None, [("duplicate", "drop")]),
        ([GOOD, (3.0, 6.0, "run")], {}, None, [("overlap", "keep")]),
        ([GOOD, (3.0, 6.0, "jump")], {}, None, []),
        ([GOOD], {"seconds": 20.0}, 10.0, [("duration", "keep")]),
        ([(30.0, 120.0, "run"), (150.0, 290.0, "run")], {}, None, [("units", "error")]),
        ([(1000.0, 4000.0, "run"), (5000.0, 9900.0, "run")], {}, None, [("units", "error")]),
        ([GOOD], {"subset": "Training "}, None, [("subset", "error")]),
        ([GOOD], {"subset": "TRAIN"}, None, []),
        ([GOOD], {"subset": "trainning"}, None, [("subset", "error")]),
        ([GOOD], {"subset": "testing"}, None, [("left_out", "keep")]),
        # Every pair counts, not neighbours alone.
        ([(0.0, 9.0, "run"), (1.0, 2.0, "run"), (3.0, 4.0, "run")], {}, None, [("overlap", "keep")] * 2),
        ([(1.0, 4.0, "Run")], {}, None, [("label", "error")]),
        ([(1.0, 4.0, "sleep")], {}, None, [("label", "error")]),
    ],
)
def test_what_is_found(segments, options, real_s, found):
    seconds = {} if real_s is None else {"v.mp4": real_s}
    _, findings = examine([video(*segments, **options)], policy(), seconds)
    assert [(f.finding, f.action) for f in findings if f.finding != "emptied"] == found


def test_near_misses_and_units_are_named():
    videos = [video((1.0, 4.0, "Run")), video(GOOD, subset="Training "), video((0.0, 290.0, "run"))]
    values = [f.value for f in examine(videos, policy())[1]]
    assert values == [
        "'Run', close to 'run'",
        "'Training ', close to 'training'",
        "last end at 290 of 10 s: looks like frames",
    ]


def test_dropped_segments_and_emptied_videos():
    frames = [[30, 120], [240, 90], [60, 61]]
    a = video(GOOD, (12.0, 15.0, "run"), (5.0, 5.01, "run"), name="a", segment_frames=frames)
    b = video((12.0, 15.0, "run"), name="b")
    kept, findings = examine([a, b, video(name="c")], policy())
    assert [v.name for v in kept] == ["a", "c"]
    assert kept[0].segments == a.segments[:1]
    assert kept[0].extra == {"segment_frames": frames[:1], DOUBTS: ["outside", "zero_length"]}
    assert [(f.video, f.finding, f.action) for f in findings] == [
        ("a", "outside", "drop"),
        ("a", "zero_length", "drop"),
        ("b", "outside", "drop"),
        ("b", "emptied", "drop"),
    ]


def test_released_files_are_kept_as_they_are():
    bad = video((8.0, 3.0, "run"), (12.0, 15.0, "Run"), (12.0, 15.0, "Run"))
    kept, findings = examine([bad], policy("released"))
    assert kept == [bad]
    assert {f.action for f in findings} == {"keep"}
    refuse(findings, "a.json")


def test_options_decide():
    bad = video(GOOD, (8.0, 3.0, "run"))
    kept, findings = examine([bad], policy(reversed="drop"))
    assert kept[0].segments == bad.segments[:1]
    refuse(findings, "a.json")
    with pytest.raises(TspError, match=r"^a\.json: 1 doubtful annotations \(1 reversed\): v: reversed: 8 - 3 s, run"):
        refuse(examine([bad], policy())[1], "a.json")
    with pytest.raises(TspError, match=r"overlap"):
        refuse(examine([video(GOOD, (3.0, 6.0, "run"))], policy("released", overlap="error"))[1], "a.json")
    assert build(ExamineConfig, {"label": "keep"}, "examine").label == "keep"
    with pytest.raises(TspError, match="examine"):
        build(ExamineConfig, {"label": "ignore"}, "examine")


def test_no_background_where_the_actions_are_in_doubt():
    metadata = pd.DataFrame([["a.mp4", 60.0, 30.0, 1800], ["b.mp4", 60.0, 30.0, 1800]], columns=METADATA_COLUMNS)
    videos = [video(GOOD, name=name, seconds=60.0) for name in "ab"]
    for rule in ("clean", "released"):
        doubted = [videos[0], replace(videos[1], duration_s=90.0)]
        kept, _ = examine(doubted, policy(rule), {"a.mp4": 60.0, "b.mp4": 60.0})
        rows = ground_truth(kept, metadata, "training", BackgroundConfig(rule=rule, min_clips=1))
        background = set(rows[rows["temporal-region-label"] == NO_ACTION]["video-name"])
        assert background == ({"a"} if rule == "clean" else {"a", "b"})
        assert set(rows["video-name"]) == {"a", "b"}


@pytest.fixture
def case(shared):
    path = shared.parent / "cases/media/anet.json"
    if not path.exists():
        pytest.skip("no cases")
    return path


def test_the_five_videos(case, tmp_path):
    """`cases/media/anet.json`: every video is 10 s long."""
    rows = [[f"v_{letter * 11}.mp4", 10.0, 30.0, 300] for letter in "abcde"]
    write_table(pd.DataFrame(rows, columns=METADATA_COLUMNS), tmp_path / "m.csv")
    write_report(READER, [str(case)], [tmp_path / "m.csv"], tmp_path / "report.csv", policy(labels=["run"]))
    assert (tmp_path / "report.csv").read_text().splitlines() == [
        "video,finding,value,action",
        'aaaaaaaaaaa,duration,"20 s stated, 10 s in the video",keep',
        'bbbbbbbbbbb,outside,"12 - 15 s, run; the video has 10 s",drop',
        "bbbbbbbbbbb,emptied,no segment is left,drop",
        'ccccccccccc,reversed,"8 - 3 s, run",error',
        'ccccccccccc,zero_length,"0.01 - 0.02 s, run",drop',
        "ddddddddddd,subset,\"'Training ', close to 'training'\",error",
        "eeeeeeeeeee,label,\"'Run', close to 'run'\",error",
    ]
    with pytest.raises(TspError, match="3 doubtful annotations"):
        write_canonical(READER, [str(case)], None, "", tmp_path / "a.json", policy=policy(labels=["run"]))
    drop = policy(labels=["run"], reversed="drop", subset="drop", label="drop")
    write_canonical(READER, [str(case)], None, "", tmp_path / "a.json", policy=drop)
    videos, findings = examine(read_annotations(tmp_path / "a.json"), drop, durations([tmp_path / "m.csv"]))
    refuse(findings, "a.json")
    assert [v.name for v in videos] == ["aaaaaaaaaaa"]
    table = ground_truth(
        videos, pd.read_csv(tmp_path / "m.csv"), "training", BackgroundConfig(rule="clean", min_clips=1)
    )
    assert table["video-name"].tolist() == ["aaaaaaaaaaa"]
    assert table["temporal-region-label"].tolist() == ["Action"]


def test_a_subset_that_matches_nothing(case, tmp_path):
    options = {"official": "valid", "shard": 0, "shards": 1, "shard_size": 9}
    with pytest.raises(
        TspError, match=r"no video has the subset 'valid'; there are 'Training ' \(1\), 'training' \(4\)"
    ):
        write_list(READER, [str(case)], None, "", tmp_path / "l.csv", **options)


def test_official_annotations(shared):
    """ActivityNet 1.3 has segments behind the end, empty, doubled and overlapping ones, but none of other units."""
    videos = activitynet.read([shared / "bmn/anet_anno_action.json.gz"])
    labels = json.loads((shared / "tsp/activitynet/activitynet_v1-3_action_label_mapping.json").read_text())
    kept, findings = examine(videos, policy("released", labels=labels))
    assert kept == videos
    counts = Counter(f.finding for f in findings)
    assert {f.action for f in findings} == {"keep"}
    assert counts == COUNTS


COUNTS = {"overlap": 290, "zero_length": 70, "duplicate": 45}


def test_subsets_that_are_not_used_are_one_finding_each():
    videos = [video(GOOD, name="a"), *(video(GOOD, name=f"t{k}", subset="testing") for k in range(3))]
    videos += [video(GOOD, name="u", subset=""), video(GOOD, name="x", subset="extra")]
    _, findings = examine(videos, policy())
    assert [(f.video, f.finding, f.value, f.action) for f in findings] == [
        ("", "left_out", "3 videos of subset 'testing'", "keep"),
        ("", "left_out", "1 videos of subset 'extra'", "keep"),
    ]


def test_the_report_of_several_files(tmp_path):
    """Findings of what the files state together; a video that the list leaves out has none."""
    known = policy("released", subsets=["training", "validation"], labels=["Polo"])
    entry = {"subset": "training", "duration": 10, "annotations": [{"segment": [1, 1], "label": "Polo"}]}
    official, listed = tmp_path / "a.json", tmp_path / "list.csv"
    official.write_text(json.dumps({"database": {"one": entry, "two": {**entry, "subset": "validation"}}}))
    listed.write_text("video,subset\nv_two,Validation \n")
    files = [str(official), str(listed)]
    output = tmp_path / "annotations_report.csv"
    write_report(READER, files, [], output, known)
    assert [row.split(",")[:2] for row in output.read_text().splitlines()[1:]] == [["two", "subset"]]
    listed.write_text("video,subset\nv_two,validation\n")
    write_report(READER, files, [], output, known)
    assert [row.split(",")[:2] for row in output.read_text().splitlines()[1:]] == [["two", "zero_length"]]
    write_canonical(READER, files, None, "{id}", output, policy=known)
    assert [(v.name, v.subset) for v in read_annotations(output)] == [("two", "validation")]
