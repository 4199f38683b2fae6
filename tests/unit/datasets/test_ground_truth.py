"""The clip index against values worked out by hand, for both rules."""

import logging

import pandas as pd
import pytest

from tsp.datasets.config import BackgroundConfig
from tsp.datasets.ground_truth import ground_truth, read_source, same_subset, write_ground_truth
from tsp.errors import TspError
from tsp.io.tables import METADATA_COLUMNS, SEGMENT_COLUMNS, read_segments, write_table
from tsp.types import Segment, Video

RELEASED = BackgroundConfig(rule="released", min_clips=1)
CLEAN = BackgroundConfig(rule="clean", min_clips=1)


def video(name, *actions, subset="training", duration_s=40.0):
    segments = tuple(Segment(start_s=a, end_s=b, label=label) for a, b, label in actions)
    return Video(name=name, filename=f"v_{name}.mp4", subset=subset, duration_s=duration_s, segments=segments)


def metadata(*rows):
    return pd.DataFrame([(f"v_{n}.mp4", f / 30, 30.0, f) for n, f in rows], columns=METADATA_COLUMNS)


def rows(table):
    columns = ["video-name", "t-start", "t-end", "action-label", "temporal-region-label"]
    found = table[columns].astype(object).where(table[columns].notna(), None)
    return [tuple(row) for row in found.to_numpy().tolist()]


# A short action inside a long one, given out of order; annotated to end after the video of 36 s.
VIDEOS = [
    video("b", (20.0, 38.0, "run"), (2.0, 12.0, "jump"), (4.0, 6.0, "run")),
    video("a", (0.5, 10.0, "jump"), duration_s=20.0),
]
METADATA = metadata(("b", 1080), ("a", 600))
ACTIONS = [
    ("b", 20.0, 38.0, "run", "Action"),
    ("b", 2.0, 12.0, "jump", "Action"),
    ("b", 4.0, 6.0, "run", "Action"),
    ("a", 0.5, 10.0, "jump", "Action"),
]


def none(name, start, end):
    return (name, start, end, None, "No action")


def test_released_rule():
    found = ground_truth(VIDEOS, METADATA, "train", RELEASED)
    assert list(found.columns) == SEGMENT_COLUMNS
    # a: 0 to 0.5 is too short. b: 6 to 20 overlaps the end of `jump`; nothing remains after 38.
    background = [none("a", 10.0, 20.0), none("b", 0.0, 2.0), none("b", 6.0, 20.0)]
    assert rows(found) == ACTIONS + background


def test_clean_rule():
    found = ground_truth(VIDEOS, METADATA, "train", CLEAN)
    assert rows(found) == [*ACTIONS, none("a", 10.0, 20.0), none("b", 0.0, 2.0), none("b", 12.0, 20.0)]


@pytest.mark.parametrize(("min_clips", "n"), [(1, 3), (2, 2), (9, 2), (10, 1), (14, 0)])
def test_shortest_gap(min_clips, n):
    # Gaps of 10, 2 and 14 s; 1, 9 ... clips are 1.07, 9.6 ... s.
    found = ground_truth(VIDEOS, METADATA, None, BackgroundConfig(min_clips=min_clips))
    assert (found["temporal-region-label"] == "No action").sum() == n


def test_facts_of_the_file_not_of_the_annotation():
    found = ground_truth(VIDEOS, METADATA, "train", CLEAN)
    facts = found[found["video-name"] == "b"][["video-duration", "filename", "fps", "video-frames"]]
    assert facts.drop_duplicates().to_numpy().tolist() == [[36.0, "v_b.mp4", 30.0, 1080]]


def test_only_videos_of_the_subset_and_of_the_metadata(caplog):
    videos = [*VIDEOS, video("c", (1, 2, "run"), subset="validation"), video("d"), video("gone", (1, 2, "run"))]
    table = metadata(("c", 300), ("d", 300), ("a", 600))
    with caplog.at_level(logging.WARNING):
        assert set(ground_truth(videos, table, "train", CLEAN)["video-name"]) == {"a"}
        assert "2 of 3 videos have no action" in caplog.text
    assert set(ground_truth(videos, table, "valid", CLEAN)["video-name"]) == {"c"}
    assert list(dict.fromkeys(ground_truth(videos, table, None, CLEAN)["video-name"])) == ["c", "a"]


def test_annotations_without_subsets_belong_to_all():
    assert len(ground_truth([video("a", (0, 10, "run"), subset="")], METADATA, "valid", CLEAN)) == 2


def test_nothing_in_common():
    with pytest.raises(TspError, match="no video of subset 'test' is in both"):
        ground_truth(VIDEOS, METADATA, "test", CLEAN)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("train", "training", True),
        ("Val", "validation", True),
        ("valid", "val", True),
        ("test", "testing", True),
        ("train", "valid", False),
        ("custom", "custom", True),
        ("custom", "train", False),
    ],
)
def test_names_of_subsets(a, b, same):
    assert same_subset(a, b) == same_subset(b, a) == same


def test_written_table_can_be_a_source_again(tmp_path):
    write_table(METADATA, tmp_path / "metadata.csv")
    path = tmp_path / "mine_groundtruth.csv"
    write_ground_truth(VIDEOS, tmp_path / "metadata.csv", path, "train", RELEASED)
    assert rows(read_segments(path))[:4] == ACTIONS

    def reader(paths):
        raise AssertionError("the reader was asked")

    videos = read_source(reader, [path])
    assert [(v.name, v.filename, v.segments) for v in videos] == [(v.name, v.filename, v.segments) for v in VIDEOS]
    again = ground_truth(videos, METADATA, "train", RELEASED)
    pd.testing.assert_frame_equal(again, ground_truth(VIDEOS, METADATA, "train", RELEASED))


def test_missing_annotations(tmp_path):
    with pytest.raises(TspError, match=r"a\.json: no such annotation file"):
        read_source(lambda paths: [], [tmp_path / "a.json"])
