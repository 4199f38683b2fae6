"""A directory of videos with and without a table."""

import pytest

from tsp.datasets.folder import read
from tsp.errors import TspError


@pytest.fixture
def folder(tmp_path):
    videos = tmp_path / "videos"
    for name in ("b.MOV", "sub/-a 1.mp4", "notes.txt", "c.v2.mkv"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        (videos / name).touch()
    return videos


def table(tmp_path, text):
    path = tmp_path / "segments.csv"
    path.write_text(text)
    return path


def test_a_directory_alone(folder):
    videos = read([folder])
    assert [(v.name, v.filename, v.subset) for v in videos] == [
        ("-a 1", "-a 1.mp4", "all"),
        ("b", "b.mp4", "all"),
        ("c.v2", "c.v2.mp4", "all"),
    ]
    assert videos[0].source == str(folder / "sub/-a 1.mp4")
    assert all(v.segments == () and v.duration_s is None for v in videos)


def test_a_table_gives_segments_and_subsets(folder, tmp_path):
    text = "video,t-start,t-end,label,subset\nb.MOV,1.5,3,run,train\nb,4,5,jump,\n-a 1,,,,valid\n"
    found = {v.name: v for v in read([table(tmp_path, text), folder])}
    assert [(s.start_s, s.end_s, s.label) for s in found["b"].segments] == [(1.5, 3, "run"), (4, 5, "jump")]
    assert {name: v.subset for name, v in found.items()} == {"-a 1": "valid", "b": "train", "c.v2": "all"}


FAULTS = {
    "d,1,2,run,": "line 2: no video 'd'",
    "b,2,1,run,": "line 2: segment 2 - 1 s, label 'run'",
    "b,1,2,,": "line 2: segment 1 - 2 s, label ''",
    "b,1,,run,": "line 2",
    "b,1,2,run,train\nb,3,4,run,valid": "line 3: 'b' is in subset 'train' above and in 'valid' here",
}


@pytest.mark.parametrize("rows", FAULTS)
def test_faulty_rows_are_named(folder, tmp_path, rows):
    path = table(tmp_path, f"video,t-start,t-end,label,subset\n{rows}\n")
    with pytest.raises(TspError, match=r"segments\.csv: ") as error:
        read([folder, path])
    assert FAULTS[rows] in str(error.value)


def test_directories_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(TspError, match="expected one directory"):
        read([tmp_path / "none"])
    (folder / "b.mp4").touch()
    with pytest.raises(TspError, match="have the same name 'b'; rename or remove one"):
        read([folder])
    (tmp_path / "empty").mkdir()
    with pytest.raises(TspError, match="no video in this directory"):
        read([tmp_path / "empty"])
