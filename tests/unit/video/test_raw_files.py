"""Raw files follow the local files that they come from: replaced, renamed, removed, touched, deleted once used."""

import hashlib
import os
from dataclasses import replace

import pandas as pd
import pytest

from tsp.io import store
from tsp.io.sources import facts_path, shard_token
from tsp.io.store import Store
from tsp.io.tables import LIST_COLUMNS, read_manifest, write_table
from tsp.video import fetching
from tsp.video.config import DownloadConfig
from tsp.video.download import download_shard

CONFIG = DownloadConfig(workers=2)


@pytest.fixture
def mine(tmp_path):
    """A folder of sources, and a function that downloads a list of them and returns the manifest by video."""
    folder = tmp_path / "mine"
    folder.mkdir()

    def run(*names, config=CONFIG, token="first"):
        rows = [(name[0], f"v_{name[0]}.mp4", str(folder / name)) for name in names]
        write_table(pd.DataFrame(rows, columns=LIST_COLUMNS), tmp_path / "list.csv")
        facts = facts_path(tmp_path / "raw", "0")
        download_shard(
            tmp_path / "list.csv", tmp_path / "raw", tmp_path / "manifest.csv", config, facts=facts, token=token
        )
        return read_manifest(tmp_path / "manifest.csv").set_index("video")

    run.folder, run.raw = folder, tmp_path / "raw"
    run.token = lambda: shard_token(tmp_path / "list.csv", facts_path(tmp_path / "raw", "0"))
    return run


def files(folder):
    """Names of the files of a store, without its records."""
    return sorted(p.name for p in folder.iterdir() if p.name != ".made")


def in_place(source, content):
    """As `cp new.mp4 a.mp4`: the same inode, so the hard link in the store changes, too."""
    with source.open("r+b") as file:
        file.truncate()
        file.write(content)


def moved(source, content):
    """As `mv new.mp4 a.mp4`."""
    source.with_name("new").write_bytes(content)
    source.with_name("new").replace(source)


@pytest.mark.parametrize("replace_by", [in_place, moved])
@pytest.mark.parametrize("linked", [True, False])
def test_a_source_replaced_under_its_name(mine, monkeypatch, replace_by, linked):
    if not linked:
        monkeypatch.setattr(fetching.Path, "hardlink_to", lambda *arguments: (_ for _ in ()).throw(OSError(18, "")))
    for name in ("a.mp4", "b.mp4"):
        (mine.folder / name).write_bytes(name.encode())
    mine("a.mp4", "b.mp4")
    other = (mine.raw / "v_b.mp4").stat()
    assert mine.token() == "first"
    replace_by(mine.folder / "a.mp4", b"a longer one")
    assert mine.token() != "first"
    found = mine("a.mp4", "b.mp4", token=mine.token())
    assert (mine.raw / "v_a.mp4").read_bytes() == b"a longer one"
    assert found.loc["a", "sha256"] == hashlib.sha256(b"a longer one").hexdigest()
    assert found.loc["a", "bytes"] == 12
    assert (mine.raw / "v_b.mp4").stat() == other


def test_a_source_under_another_extension(mine):
    (mine.folder / "a.mp4").write_bytes(b"a")
    first = mine("a.mp4")
    (mine.folder / "a.mp4").rename(mine.folder / "a.mov")
    assert mine.token() != "first"
    pd.testing.assert_frame_equal(mine("a.mov"), first)
    assert files(mine.raw) == ["v_a.mov"]
    assert Store(mine.raw).names() == ["v_a.mov"]


def test_a_source_that_was_removed_and_came_back(mine, caplog):
    (mine.folder / "a.mp4").write_bytes(b"a")
    first = mine("a.mp4")
    (mine.folder / "a.mp4").unlink()
    row = mine("a.mp4", token=mine.token()).loc["a"]
    assert (row["status"], row["reason"]) == ("gone", f"no such file: {mine.folder}/a.mp4")
    assert f"a: gone: no such file: {mine.folder}/a.mp4" in caplog.text
    assert files(mine.raw) == Store(mine.raw).names() == []
    gone = mine.token()
    (mine.folder / "a.mp4").write_bytes(b"a")
    assert mine.token() not in ("first", gone)
    pd.testing.assert_frame_equal(mine("a.mp4"), first)


def test_a_link_as_source_is_followed(mine):
    (mine.folder / "target").write_bytes(b"a")
    (mine.folder / "a.mp4").symlink_to("target")
    assert mine("a.mp4").loc["a", "status"] == "ok"
    assert not (mine.raw / "v_a.mp4").is_symlink()
    assert (mine.raw / "v_a.mp4").read_bytes() == b"a"


def test_a_touched_source_is_read_once(mine, monkeypatch):
    (mine.folder / "a.mp4").write_bytes(b"a")
    first, inode = mine("a.mp4"), (mine.raw / "v_a.mp4").stat().st_ino
    seen = []
    monkeypatch.setattr(store, "sha256", lambda path: seen.append(path) or hashlib.sha256(b"a").hexdigest())
    os.utime(mine.folder / "a.mp4", (1, 1))
    for _ in range(2):
        pd.testing.assert_frame_equal(mine("a.mp4"), first)
    assert seen == [mine.folder / "a.mp4"]
    assert (mine.raw / "v_a.mp4").stat().st_ino == inode


def test_a_damaged_raw_file_is_fetched_again(mine):
    (mine.folder / "a.mp4").write_bytes(b"a")
    mine("a.mp4")
    moved(mine.raw / "v_a.mp4", b"damaged")
    mine("a.mp4")
    assert (mine.raw / "v_a.mp4").read_bytes() == b"a"


def test_deleted_raw_files_come_back_unless_they_are_not_kept(mine):
    (mine.folder / "a.mp4").write_bytes(b"a")
    first = mine("a.mp4")
    thrifty = replace(CONFIG, keep_raw=False)
    (mine.raw / "v_a.mp4").unlink()
    pd.testing.assert_frame_equal(mine("a.mp4", config=thrifty), first)
    assert files(mine.raw) == []
    (mine.folder / "a.mp4").write_bytes(b"other")
    assert mine("a.mp4", config=thrifty).loc["a", "bytes"] == 5
    assert files(mine.raw) == ["v_a.mp4"]
    (mine.raw / "v_a.mp4").unlink()
    mine("a.mp4")
    assert files(mine.raw) == ["v_a.mp4"]
