"""Atomic writing, and reading with clear errors."""

import errno
import gzip
import os

import pytest

from tsp.errors import TspError
from tsp.io.files import atomic, read_json, read_text, sha256, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_full_disk_is_told_in_one_line(tmp_path):
    with (
        pytest.raises(TspError, match=r"a\.csv: cannot be written \(No space left on device\)"),
        atomic(tmp_path / "a.csv"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_missing_input_inside_the_block_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "a.csv"):
        (tmp_path / "missing").read_text()


def test_folders_are_made_and_the_suffix_stays(tmp_path):
    with atomic(tmp_path / "new" / "-é '\".csv") as temporary:
        assert temporary.suffix == ".csv"
        temporary.write_text("x")
    assert (tmp_path / "new" / "-é '\".csv").read_text() == "x"


def test_json_round_trip_and_gzip(tmp_path):
    write_json(tmp_path / "a.json", {"ü": [1.5, None]})
    assert read_json(tmp_path / "a.json") == {"ü": [1.5, None]}
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b'{"a": 1}'))
    assert read_json(tmp_path / "a.json.gz") == {"a": 1}


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", b"{"), ("a.json", b""), ("a.json.gz", b"no gzip"), ("a.json", b"\xff")]
)
def test_damaged_json_names_the_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TspError, match=name):
        read_json(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TspError, match="nothing"):
        read_text(tmp_path / "nothing")


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    assert sha256(tmp_path / "a").startswith("e3b0c442")


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '{"a": 1', "[NaN, x]"])
def test_text_that_is_no_json_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(TspError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:12] + b"\xff" * 8 + b[20:], lambda b: b"no"])
def test_a_damaged_archive_is_named(tmp_path, damage):
    (tmp_path / "a.json.gz").write_bytes(damage(gzip.compress(b'{"database": {}}' * 99)))
    with pytest.raises(TspError, match=r"a\.json\.gz"):
        read_json(tmp_path / "a.json.gz")
