"""Canonical annotations and video lists."""

import pytest

from tsp.datasets import listing
from tsp.datasets.listing import canonical_digest, shard_digests, write_canonical, write_list
from tsp.errors import TspError
from tsp.io.annotations import read_annotations, write_annotations
from tsp.io.tables import LIST_COLUMNS, read_table
from tsp.types import Segment, Video

READER = "tsp.datasets.synthetic:read"
URL = "https://host/{id}?file={filename}"


def video(name, subset="training", source=""):
    action = (Segment(start_s=1.0, end_s=2.5, label="run"),)
    return Video(
        name=name,
        filename=f"v_{name}.mp4",
        subset=subset,
        duration_s=9.0,
        segments=action,
        source=source,
        extra={"captions": ["A run."]},
    )


@pytest.fixture
def raw(tmp_path):
    videos = [video("a"), video("b", "validation", source="https://other/b"), video("NA", "validation")]
    write_annotations(tmp_path / "raw.json", videos)
    return videos


def canonical(tmp_path, videos=None):
    write_canonical(READER, [str(tmp_path / "raw.json")], videos, URL, tmp_path / "annotations.json")
    return read_annotations(tmp_path / "annotations.json")


def test_addresses(tmp_path, raw):
    found = canonical(tmp_path)
    assert [v.source for v in found] == [
        "https://host/a?file=v_a.mp4",
        "https://other/b",
        "https://host/NA?file=v_NA.mp4",
    ]
    assert [(v.name, v.segments, v.extra, v.duration_s) for v in found] == [
        (v.name, v.segments, v.extra, v.duration_s) for v in raw
    ]


def test_files_of_a_folder_come_before_addresses(tmp_path, raw):
    folder = tmp_path / "videos"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/v_a.webm").touch()
    (folder / "b.mkv").touch()
    found = canonical(tmp_path, str(folder))
    # A missing file is listed; the download step reports it.
    expected = [folder / "deep/er/v_a.webm", folder / "b.mkv", folder / "v_NA.mp4"]
    assert [v.source for v in found] == [str(path) for path in expected]


def test_no_folder(tmp_path, raw):
    with pytest.raises(TspError, match=r"datasets\.videos: /no/such: no such folder"):
        canonical(tmp_path, "/no/such")


def listed(tmp_path, official, shard=0, shards=1, shard_size=9):
    whole = {"official": official, "shard": shard, "shards": shards, "shard_size": shard_size}
    write_list(READER, [str(tmp_path / "raw.json")], None, URL, tmp_path / "list.csv", **whole)
    return read_table(tmp_path / "list.csv", LIST_COLUMNS).to_numpy().tolist()


def test_list_of_a_subset(tmp_path, raw):
    assert listed(tmp_path, "val") == [
        ["b", "v_b.mp4", "https://other/b"],
        ["NA", "v_NA.mp4", "https://host/NA?file=v_NA.mp4"],
    ]


def test_shards_take_their_own_rows(tmp_path):
    write_annotations(tmp_path / "raw.json", [video(name) for name in "abcde"])
    found = [[row[0] for row in listed(tmp_path, "training", k, 3, 2)] for k in range(3)]
    assert found == [["a", "b"], ["c", "d"], ["e"]]
    assert listed(tmp_path, "training", 3, 4, 2) == []


def test_a_subset_without_videos(tmp_path, raw):
    with pytest.raises(TspError, match="no video has the subset 'testing'"):
        listed(tmp_path, "testing")
    assert not (tmp_path / "list.csv").exists()


def digests(tmp_path, names, shards=3, official="training"):
    """Each version of the annotations in a separate file, since a process reads a file once."""
    path = tmp_path / f"{names}.json"
    write_annotations(path, [video(name) for name in names])
    return shard_digests(READER, (str(path),), official, shards, 2)


def test_new_videos_at_the_end_change_the_digests_of_their_shards_only(tmp_path):
    before = digests(tmp_path, "abcd")
    after = digests(tmp_path, "abcdef")
    assert after[:2] == before[:2]
    assert after[2] != before[2]
    assert digests(tmp_path, "abcdefgh", shards=4)[:3] == after
    assert digests(tmp_path, "xbcd")[0] != before[0]


def test_the_local_file_of_a_video_counts(tmp_path):
    path, folder = tmp_path / "raw.json", tmp_path / "videos"
    write_annotations(path, [video(name) for name in "abcd"])
    (folder / "sub").mkdir(parents=True)
    (folder / "v_a.mp4").touch()

    def now():
        for cached in (shard_digests, canonical_digest, listing._local_files, listing._located):
            cached.cache_clear()
        arguments = (READER, (str(path),))
        shards = shard_digests(*arguments, "training", 2, 2, videos=str(folder), url=URL)
        return *shards, canonical_digest(*arguments, str(folder), URL)

    before = now()
    assert now() == before
    (folder / "v_a.mp4").write_text("content is not looked at here")
    assert now() == before
    (folder / "v_a.mp4").rename(folder / "v_a.mov")
    renamed = now()
    assert [a == b for a, b in zip(before, renamed, strict=True)] == [False, True, False]
    (folder / "sub/c.mp4").touch()
    assert [a == b for a, b in zip(now(), renamed, strict=True)] == [True, False, False]
    (folder / ".made").mkdir()
    (folder / ".made/v_d.mp4").touch()
    assert now()[1] == shard_digests(READER, (str(path),), "training", 2, 2, videos=str(folder), url=URL)[1]
    assert shard_digests(READER, (str(path),), "training", 2, 2, videos="/no/such", url=URL) == ()


def test_annotations_that_cannot_be_read_have_no_digests(tmp_path):
    assert shard_digests(READER, (str(tmp_path / "absent.json"),), "training", 3, 2) == ()
    assert canonical_digest(READER, (str(tmp_path / "absent.json"),)) == "unknown"
