"""Local sources as the planner sees them."""

import os
from pathlib import Path

import pytest

from tsp.io import sources, store
from tsp.io.sources import FIRST, facts_path, local_path, shard_token, source_content, write_facts


@pytest.fixture
def shard(tmp_path):
    """Two sources, one of them missing, after a first download."""
    (tmp_path / "a.mp4").write_text("a")
    (tmp_path / "list.csv").touch()
    downloaded(tmp_path, FIRST)
    return tmp_path


def downloaded(folder, token):
    """What the download step leaves."""
    names = (str(folder / "a.mp4"), "file://" + str(folder / "b%20b.mp4"))
    write_facts(facts_path(folder, "0"), token, {name: source_content(name) for name in names})


def token(folder):
    return shard_token(folder / "list.csv", facts_path(folder, "0"))


def test_before_the_first_download(shard):
    (shard / "list.csv").unlink()
    assert token(shard) == FIRST
    (shard / "list.csv").touch()
    facts_path(shard, "0").write_text("[]")
    assert token(shard) == FIRST


def test_nothing_changed(shard):
    assert token(shard) == FIRST
    downloaded(shard, "0123")
    assert token(shard) == "0123"


CHANGES = {
    "changed": lambda folder: (folder / "a.mp4").write_text("other"),
    "removed": lambda folder: (folder / "a.mp4").unlink(),
    "appeared": lambda folder: (folder / "b b.mp4").write_text("b"),
    "a folder": lambda folder: ((folder / "a.mp4").unlink(), (folder / "a.mp4").mkdir()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_another_token_until_it_is_downloaded(shard, change):
    CHANGES[change](shard)
    new = token(shard)
    assert new not in (FIRST, "")
    assert token(shard) == new
    downloaded(shard, new)
    assert token(shard) == new


def test_there_and_back(shard):
    (shard / "a.mp4").write_text("other")
    downloaded(shard, token(shard))
    (shard / "a.mp4").write_text("a")
    assert token(shard) not in (FIRST, sources._read(facts_path(shard, "0"))[0])


def test_a_change_that_was_undone_is_none(shard):
    (shard / "a.mp4").rename(shard / "away.mp4")
    assert token(shard) != FIRST
    (shard / "away.mp4").rename(shard / "a.mp4")
    assert token(shard) == FIRST


def test_a_touched_source_is_read_once(shard, monkeypatch, caplog):
    seen = []
    whole = store.sha256
    monkeypatch.setattr(store, "sha256", lambda path: seen.append(path.name) or whole(path))
    assert token(shard) == FIRST
    assert seen == []
    os.utime(shard / "a.mp4", (1, 1))
    assert token(shard) == token(shard) == FIRST
    assert seen == ["a.mp4"]
    assert "1 sources have another date" in caplog.text


@pytest.mark.parametrize(
    ("source", "path"),
    [("a/b.mp4", "a/b.mp4"), ("file:///a%20b", "/a b"), ("http://x/a.mp4", None), ("https://x", None), ("", None)],
)
def test_local_paths(source, path):
    assert local_path(source) == (Path(path) if path else None)


def test_odd_sources(tmp_path):
    assert source_content("\0") is source_content(str(tmp_path)) is source_content("http://x/a.mp4") is None
