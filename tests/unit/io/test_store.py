"""Records of the files of a store."""

import os
import shutil

import pytest

from tsp.io import store as module
from tsp.io.store import Content, Store, content

NAMES = ["a.mp4", "-dash.mp4", 'quote\'s "two".mp4', "ünïcode.mp4", " .mp4", "n" * 232 + ".mp4", "\N{PILE OF POO}" * 58]
IDENTITY = {"seed": 1, "size": (2, 3), "text": "ü"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "videos")


def put(store, name, text="content"):
    store.folder.mkdir(exist_ok=True)
    store.path(name).write_text(text)
    return store.record(name, IDENTITY)


@pytest.fixture
def read(monkeypatch):
    """Files that were read to their end."""
    seen = []
    whole = module.sha256
    monkeypatch.setattr(module, "sha256", lambda path: seen.append(path.name) or whole(path))
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_a_record(store, name):
    assert not store.is_current(name, IDENTITY)
    assert store.recorded(name) is None
    found = put(store, name)
    assert store.is_current(name, IDENTITY)
    assert store.recorded(name) == {**IDENTITY, "size": [2, 3]}
    assert store.content(name) == store.recorded_content(name) == found
    assert store.names() == [name]
    for other in ({**IDENTITY, "seed": 2}, {**IDENTITY, "more": 0}, {"seed": 1}):
        assert not store.is_current(name, other)
    store.remove(name)
    assert list(store.folder.rglob("*")) == [store.folder / ".made"]
    store.remove(name)


def test_a_file_that_is_gone_keeps_its_record(store):
    found = put(store, "a")
    store.path("a").unlink()
    assert not store.is_current("a", IDENTITY)
    assert store.content("a") is None
    assert store.recorded_content("a") == found
    store.forget("a")
    assert store.recorded("a") is None


def test_a_file_is_read_once(store, read):
    put(store, "a")
    assert store.is_current("a", IDENTITY)
    assert read == ["a"]


def test_a_touched_file_is_read_once_more(store, read):
    put(store, "a")
    os.utime(store.path("a"), (1, 1))
    for _ in range(3):
        assert store.is_current("a", IDENTITY)
    assert read == ["a", "a"]


def test_a_changed_file_is_not_current(store):
    put(store, "a")
    store.path("a").write_text("damaged")
    os.utime(store.path("a"), (1, 1))
    assert not store.is_current("a", IDENTITY)
    assert not store.is_current("a", IDENTITY)


def test_known_contents_are_not_read(tmp_path, store, read):
    found = put(store, "a")
    assert content(store.path("a"), None, found) == found
    os.link(store.path("a"), store.path("b"))
    assert store.record("b", IDENTITY, known=found) == found
    assert read == ["a"]
    store.path("c").write_text("longer than the other")
    assert store.record("c", IDENTITY, known=found).sha256 != found.sha256


def test_notes_do_not_count(store):
    put(store, "a")
    assert store.notes("a") == store.notes("absent") == {}
    store.note("a", {"host": "here"})
    assert store.notes("a") == {"host": "here"}
    assert store.is_current("a", IDENTITY)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"identity": 1, "notes": {}, "content": {}}', "\x00"])
def test_a_damaged_record_is_none(store, text):
    put(store, "a")
    (store.folder / ".made/a.json").write_text(text)
    assert store.recorded("a") is None
    assert not store.is_current("a", IDENTITY)
    assert store.names() == []


def test_a_moved_store_keeps_its_records(tmp_path, store):
    put(store, "a")
    shutil.move(store.folder, tmp_path / "elsewhere")
    assert Store(tmp_path / "elsewhere").is_current("a", IDENTITY)


def test_what_is_no_file(tmp_path, store):
    assert content(tmp_path) is content(tmp_path / "a\0b") is content(tmp_path / "none") is None
    with pytest.raises(FileNotFoundError):
        store.record("none", IDENTITY)
    assert isinstance(put(store, "a"), Content)
