"""Standardised files of several versions of ffmpeg, or of other code, in one store."""

import shutil

import pandas as pd
import pytest
from unit.video.make import write_video

from tsp.io.store import Store
from tsp.io.tables import MANIFEST_COLUMNS, write_table
from tsp.video import standardise
from tsp.video.config import StandardiseConfig


@pytest.fixture
def make(tmp_path):
    """Standardise a shard with one video; `make.store` is its store."""
    (tmp_path / "raw").mkdir()
    write_video(tmp_path / "raw/v_a.mkv", 10)
    entries = [{"video": "a", "filename": "v_a.mp4", "status": "ok"}]
    write_table(pd.DataFrame(entries, columns=MANIFEST_COLUMNS).astype({"bytes": "Int64"}), tmp_path / "download.csv")

    def run(**versions):
        arguments = (tmp_path / "download.csv", tmp_path / "raw", tmp_path / "videos", tmp_path / "out.csv")
        standardise.standardise_shard(*arguments, StandardiseConfig(crf=12), 1, **versions)
        return (tmp_path / "videos/v_a.mp4").stat().st_ino

    run.store = Store(tmp_path / "videos")
    return run


def test_several_versions_of_ffmpeg_are_reported(make, monkeypatch, caplog):
    def warnings():
        found = [record.message for record in caplog.records if "versions of ffmpeg" in record.message]
        caplog.clear()
        return found

    make()
    assert warnings() == []
    # A file of another shard, which this one leaves alone.
    shutil.copy(make.store.path("v_a.mp4"), make.store.path("v_b.mp4"))
    make.store.record("v_b.mp4", {"ffmpeg": "5.1 (00000000)"})
    monkeypatch.setattr(standardise, "ffmpeg_version", lambda: "9.9 (11111111)")
    make()
    (line,) = warnings()
    assert "5.1 (00000000): 1, 9.9 (11111111): 1" in line
    make.store.remove("v_b.mp4")
    make()
    assert warnings() == []


def test_other_code_that_encodes_makes_the_files_again(make):
    first = make(encoding="1")
    assert make(encoding="1", code="judges the same file") == first
    assert make(encoding="2") != first
