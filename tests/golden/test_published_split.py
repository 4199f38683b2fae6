"""The published split and time base of G-TAD and BMN, one line each in a configuration."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from tsp.datasets import activitynet
from tsp.datasets.examine import Policy, examine
from tsp.datasets.listing import write_canonical, write_report
from tsp.io.annotations import read_annotations
from tsp.io.features import feature_writer
from tsp.io.tables import ACTION, read_segments
from tsp.localise import bmn, gtad
from tsp.localise.data import normalised_segments, read_subset
from tsp.localise.maps.training import time_base_warnings

READER = "tsp.datasets.activitynet:read"
COUNTS = {"training": 9_649, "validation": 4_728, "testing": 4_851}


@pytest.fixture(scope="module")
def official(shared, tmp_path_factory):
    """The official annotations as far as the ground truth of the paper states them: 10,024 and 4,926 videos."""
    database = {}
    for name, subset in (("train", "training"), ("valid", "validation")):
        table = read_segments(shared / f"tsp/activitynet/activitynet_v1-3_{name}_tsp_groundtruth.csv.gz")
        actions = table[table["temporal-region-label"] == ACTION]
        for video, rows in actions.groupby("video-name", sort=False):
            times = rows[["t-start", "t-end", "action-label"]].itertuples(index=False, name=None)
            listed = [{"segment": [a, b], "label": label} for a, b, label in times]
            seconds = float(rows["video-duration"].iloc[0])
            database[str(video)] = {"subset": subset, "duration": seconds, "annotations": listed, "url": "https://x"}
    path = tmp_path_factory.mktemp("official") / "activity_net.v1-3.min.json"
    path.write_text(json.dumps({"database": database}))
    return path


@pytest.fixture(scope="module")
def published(shared):
    """BMN's three files."""
    names = ("anet_anno_action.json.gz", "video_info_new.csv.gz", "action_name.csv")
    return [shared / "bmn" / name for name in names]


def test_published_counts(published, tmp_path):
    output = tmp_path / "annotations.json"
    write_canonical(READER, list(map(str, published)), None, "https://x/{id}", output)
    videos = read_annotations(output)
    assert Counter(v.subset for v in videos) == COUNTS
    assert all(v.extra["feature_frame"] and v.extra["duration_frame"] for v in videos)
    assert {s: sum(len(v.segments) for v in videos if v.subset == s) for s in COUNTS} == {
        "training": 14_859, "validation": 7_293, "testing": 0,
    }  # fmt: skip


def test_the_official_file_completed_by_either(shared, official, published):
    frames, split, _ = published
    alone = activitynet.read([official])
    assert Counter(v.subset for v in alone) == {"training": 10_024, "validation": 4_926}
    with_frames = activitynet.read([official, frames])
    known = [v for v in with_frames if v.subset]
    assert [(v.name, v.subset, v.segments, v.source) for v in known] == [
        (v.name, v.subset, v.segments, v.source) for v in alone
    ]
    stated = Counter(v.subset for v in known if "feature_frame" in v.extra)
    assert stated == {"training": 9_649, "validation": 4_728}
    # The invented official file has no videos for testing.
    everything = activitynet.read([official, frames, split])
    assert Counter(v.subset for v in everything) == COUNTS
    assert all(v.source for v in everything if v.subset != "testing")


def test_the_published_time_base_is_in_use(official, published, tmp_path):
    """On 20 videos of each subset, whose features are empty of meaning."""
    output = tmp_path / "annotations.json"
    write_canonical(READER, [str(path) for path in (official, *published)], None, "https://x/{id}", output)
    videos = read_annotations(output)
    read, config = {}, gtad.Config()
    for subset in ("training", "validation"):
        own = [v for v in videos if v.subset == subset][:20]
        with feature_writer(tmp_path / f"{subset}.h5", {"stride": 16, "fps": 15, "clip_length": 16}) as writer:
            for video in own:
                writer.write(video.key, np.zeros((3, 2), np.float32))
        read[subset] = read_subset(tmp_path / f"{subset}.h5", output, subset, 100, align_corners=False)
    for method in (gtad.Config(), bmn.Config()):
        assert method.time_base == "feature_frames"
        assert time_base_warnings(read, method) == []
    lengths = [v.extra["feature_frame"] / v.extra["duration_frame"] for v in read["training"].videos]
    assert sum(length != 1 for length in lengths) > 10
    for video, length in zip(read["training"].videos, lengths, strict=True):
        ends = [min(s.end_s / (length * video.duration_s), 1) for s in video.segments]
        assert normalised_segments(video, config.time_base)[:, 1] == pytest.approx(ends)


def test_the_report_of_the_published_files(shared, official, published, tmp_path):
    """The findings are those of the published annotations, whichever files state them."""
    labels = json.loads((shared / "tsp/activitynet/activitynet_v1-3_action_label_mapping.json").read_text())
    policy = Policy.of({}.fromkeys(POLICY), "released", ["training", "validation"], labels)
    files = [str(path) for path in published]
    write_report(READER, files, [], tmp_path / "report.csv", policy)
    counts = Counter(line.split(",")[1] for line in (tmp_path / "report.csv").read_text().splitlines()[1:])
    # The list has a subset of 4,851 test videos, which is not used.
    assert counts == {"overlap": 290, "zero_length": 70, "duplicate": 45, "left_out": 1}
    kept, findings = examine(activitynet.read(published), policy)
    assert len(kept) == sum(COUNTS.values())
    assert len(findings) == sum(counts.values())


POLICY = ["units", "reversed", "zero_length", "outside", "duplicate", "overlap", "duration", "subset", "label"]


def test_the_released_tables_use_both(repository):
    """One line each in `datasets`, and the experiments of the tables on released features."""
    config = yaml.safe_load((repository / "config/config.yaml").read_text())
    experiments = yaml.safe_load((repository / "config/experiments.yaml").read_text())["experiments"]
    tables = yaml.safe_load((repository / "config/tables.yaml").read_text())["tables"]
    for name in ("tal_activitynet_released", "proposals_activitynet_released"):
        used = {experiments[column["experiment"]]["dataset"] for column in tables[name]["columns"]}
        assert used == {"activitynet_published"}
    files = {Path(path).name for path in config["datasets"]["activitynet_published"]["annotations"]}
    assert {"anet_anno_action.json", "video_info_new.csv"} < files
