"""Frame counts of videos, and the merged tables of a subset."""

import pandas as pd
import pytest
from unit.video.make import write_sound, write_video

from tsp.errors import TspError
from tsp.io.tables import MANIFEST_COLUMNS, METADATA_COLUMNS, read_manifest, read_metadata, write_table
from tsp.video.metadata import merge_metadata
from tsp.video.probe import probe_shard, probe_video


def write_manifest(path, *entries):
    columns = [{"video": e[0], "filename": f"v_{e[0]}.mp4", "status": e[1], **(e[2] if e[2:] else {})} for e in entries]
    write_table(pd.DataFrame(columns, columns=MANIFEST_COLUMNS).astype({"bytes": "Int64"}), path)
    return path


PROBED = {"video-duration": 2.0, "fps": 30.0, "video-frames": 60, "bytes": 7, "sha256": "ab"}


@pytest.mark.parametrize(("fps", "frames"), [(30, 47), (25, 33)])
def test_frames_are_counted(tmp_path, fps, frames):
    path = write_video(tmp_path / "a.mp4", frames, fps=fps, b_frames=3, sound=True)
    assert probe_video(path) == {"video-duration": frames / fps, "fps": fps, "video-frames": frames}


def test_a_shard(tmp_path):
    write_video(tmp_path / "v_good.mp4", 47)
    write_sound(tmp_path / "v_sound.mp4")
    (tmp_path / "v_empty.mp4").write_bytes(b"")
    facts = {"bytes": 12, "sha256": "abc"}
    entries = [("good", "ok", facts), ("sound", "ok"), ("empty", "ok"), ("absent", "ok"), ("dead", "gone")]
    manifest = write_manifest(tmp_path / "in.csv", *entries)
    probe_shard(manifest, tmp_path, tmp_path / "out.csv", workers=3)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == ",".join(MANIFEST_COLUMNS)
    assert lines[1] == f"good,v_good.mp4,ok,,12,abc,,,,,,,{47 / 30!r},30.0,47"
    found = read_manifest(tmp_path / "out.csv")
    assert found["status"].tolist() == ["ok", "corrupt", "corrupt", "corrupt", "gone"]
    assert "no video stream" in found["reason"][1]
    assert found["reason"][:4].ne("").tolist() == [False, True, True, True]


def merge(tmp_path, max_failed, *shards):
    paths = [write_manifest(tmp_path / f"{i}.csv", *shard) for i, shard in enumerate(shards)]
    merge_metadata(paths, tmp_path / "metadata.csv", tmp_path / "manifest.csv", max_failed)
    return read_metadata(tmp_path / "metadata.csv"), read_manifest(tmp_path / "manifest.csv")


def test_shards_are_joined_in_order(tmp_path):
    shards = [("b", "ok", PROBED), ("x", "gone")], [("a", "ok", PROBED)], [("NA", "ok", PROBED)]
    metadata, manifest = merge(tmp_path, 0.25, *shards)
    assert list(metadata.columns) == METADATA_COLUMNS
    assert metadata["filename"].tolist() == ["v_b.mp4", "v_a.mp4", "v_NA.mp4"]
    assert metadata.iloc[0].tolist() == ["v_b.mp4", 2.0, 30.0, 60]
    assert manifest["video"].tolist() == ["b", "x", "a", "NA"]
    # Integers stay integers next to missing values.
    assert (tmp_path / "manifest.csv").read_text().splitlines()[1] == "b,v_b.mp4,ok,,7,ab,,,,,,,2.0,30.0,60"


def test_too_many_failed(tmp_path):
    bad = [(f"bad{i:02d}", "gone" if i % 2 else "corrupt", {"reason": f"because {i}"}) for i in range(12)]
    good = [(f"good{i}", "ok", PROBED) for i in range(88)]
    with pytest.raises(TspError) as caught:
        merge(tmp_path, 0.11, good, bad)
    message = str(caught.value)
    assert message.startswith("12 of 100 videos cannot be used (6 corrupt, 6 gone); max_failed is 0.11.")
    assert "bad00: corrupt (because 0); bad01: gone (because 1)" in message
    assert "bad09" in message
    assert "bad10" not in message
    assert "Raise datasets.<name>.max_failed" in message
    assert "\n" not in message
    assert not (tmp_path / "metadata.csv").exists()


def test_exactly_the_accepted_share(tmp_path):
    metadata, _ = merge(tmp_path, 0.5, [("a", "ok", PROBED)], [("b", "gone")])
    assert len(metadata) == 1


def test_no_usable_video_is_never_accepted(tmp_path):
    with pytest.raises(TspError, match="2 of 2 videos"):
        merge(tmp_path, 1.0, [("a", "gone"), ("b", "corrupt")])


def test_duration_survives_the_tables(tmp_path):
    # Byte-equal ground truth depends on it.
    facts = {**PROBED, "video-duration": 47 / (30000 / 1001), "fps": 30000 / 1001, "video-frames": 47}
    metadata, _ = merge(tmp_path, 0.0, [("a", "ok", facts)])
    assert metadata.iloc[0].tolist()[1:] == [47 / (30000 / 1001), 30000 / 1001, 47]
