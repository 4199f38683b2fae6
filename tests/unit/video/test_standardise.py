"""Re-encoding: the command, unusual names, damaged files, and repeated runs."""

import hashlib
import os
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from unit.video.make import numbers_of, write_sound, write_video

from tsp.datasets.rendering import SOUND_HZ
from tsp.datasets.rendering import encode as render
from tsp.datasets.scenes import KINDS, Look, Scene
from tsp.datasets.synthetic import FORMATS
from tsp.errors import TspError
from tsp.io.store import Store
from tsp.io.tables import LIST_COLUMNS, MANIFEST_COLUMNS, read_manifest, write_table
from tsp.video import encode, standardise
from tsp.video.binaries import ffmpeg_version
from tsp.video.config import DownloadConfig, StandardiseConfig
from tsp.video.decode import VideoReader
from tsp.video.download import download_shard
from tsp.video.encode import UnusableVideo, command, standardise_video
from tsp.video.source import examine
from tsp.video.standardise import standardise_shard

CONFIG = StandardiseConfig()
FAST = StandardiseConfig(crf=12)
ODD = ("-dash", "with space", 'quote\'s "two"', "ünïcode", "a:b", "100%d", "back\\slash", "$(touch x)", "semi;colon,=")


def words(**fields):
    return command(Path("in.mkv"), Path("out.mp4"), StandardiseConfig(**fields))


def test_the_call_in_full():
    # As in the paper: constant 30 fps by filter, the chosen stream by its index, no option that changes the quality.
    assert words()[1:] == [
        *("-probesize", "50M", "-i", "file:in.mkv"),
        *("-filter_complex", "[0:0]fps=fps=30[s0]", "-map", "[s0]"),
        *("-fflags", "+bitexact", "-map_metadata", "-1", "-max_interleave_delta", "0", "-threads", "1", "file:out.mp4"),
        *("-nostdin", "-hide_banner", "-nostats", "-v", "repeat+level+info", "-y"),
    ]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"fps": 15}, ["[0:0]fps=fps=15[s0]"]),
        ({"keyframe_interval": 16}, ["-g", "16"]),
        ({"crf": 12}, ["-crf", "12"]),
        ({"probesize": "5M"}, ["-probesize", "5M"]),
        ({"shrink": (128, 172)}, ["[0:0]fps=fps=30[s0];[s0]scale=172:128[s1];[s1]format=yuv420p[s2]"]),
        ({"shrink": (128, 171)}, ["[0:0]fps=fps=30[s0];[s0]scale=171:128[s1];[s1]format=yuv444p[s2]"]),
    ],
)
def test_options_of_the_call(fields, part):
    found = words(**fields)
    assert any(found[i : i + len(part)] == part for i in range(len(found)))
    assert words() != found


@pytest.mark.parametrize("fields", [{"fps": 0}, {"shrink": (1, 20)}, {"keyframe_interval": 0}, {"timeout_s": 0.0}])
def test_impossible_options(fields):
    with pytest.raises(TspError, match="standardise"):
        StandardiseConfig(**fields)


def test_uneven_rates_become_even(tmp_path):
    times = np.cumsum([0, *np.random.default_rng(0).integers(20, 51, 39)]).tolist()
    source = write_video(tmp_path / "uneven.mkv", 40, times_ms=times, sound=True)
    standardise_video(source, tmp_path / "out.mp4", FAST)
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert reader.fps == Fraction(30)
        found = numbers_of(reader.iterate())
    # Output frame j shows the last input frame that is not later than about half a frame after j / 30 s.
    stamps = np.asarray(times) / 1000
    expected = np.searchsorted(stamps, (np.arange(len(found)) + 0.5) / 30, side="right") - 1
    assert np.abs(np.asarray(found) - expected).max() <= 1
    assert len(found) == pytest.approx(stamps[-1] * 30, abs=2)


def test_sound_is_kept_and_size_changed(tmp_path):
    import av

    source = write_video(tmp_path / "in.mkv", 20, fps=25, sound=True)
    standardise_video(source, tmp_path / "out.mp4", StandardiseConfig(shrink=(27, 33), keyframe_interval=4))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio) == 1
        video = container.streams.video[0]
        assert (video.height, video.width) == (27, 33)
        keys = np.flatnonzero([p.is_keyframe for p in container.demux(video) if p.size])
    assert np.diff(keys).max() <= 4


@pytest.mark.parametrize("form", [FORMATS[1], FORMATS[2]], ids=lambda form: form.suffix)
def test_same_input_same_bytes(tmp_path, form):
    """Sound and picture come from threads of their own, and must be interleaved alike whichever is ahead.

    Of 30 s, every run without `max_interleave_delta` gives other bytes; of 8 s, ffmpeg's default limit suffices.
    """
    source, seconds = tmp_path / f"in{form.suffix}", 30
    sound = np.sin(np.arange(SOUND_HZ * seconds) / 10).astype(np.float32)
    render(source, form, Scene(KINDS[0], Look(), seconds, [(1.0, 2.0)], [0]), seconds, sound)
    outputs = [tmp_path / f"{k}.mp4" for k in range(4)]
    for output in outputs:
        standardise_video(source, output, StandardiseConfig(shrink=(28, 32)))
    assert len({output.read_bytes() for output in outputs}) == 1


@pytest.mark.parametrize("name", ODD)
def test_odd_names(tmp_path, monkeypatch, name):
    source = write_video(tmp_path / "in.mp4", 3)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)  # relative names, so that the dash is the first character
    source.rename(folder / f"{name}.mp4")
    standardise_video(Path(f"{name}.mp4"), Path(f"v_{name}.mp4"), CONFIG)
    standardise_video(Path(f"{name}.mp4"), Path(f"-{name}.mp4"), CONFIG)
    assert {p.name for p in folder.iterdir()} == {f"{name}.mp4", f"v_{name}.mp4", f"-{name}.mp4"}
    with VideoReader(folder / f"v_{name}.mp4") as reader:
        assert numbers_of(reader.iterate()) == [0, 1, 2]


def manifest_of(path, rows):
    entries = [{"video": name, "filename": f"v_{name}.mp4", "status": status} for name, status in rows]
    table = pd.DataFrame(entries, columns=MANIFEST_COLUMNS).astype({"bytes": "Int64"})
    write_table(table, path)
    return path


def run_shard(tmp_path, rows, config=CONFIG, workers=2):
    manifest = manifest_of(tmp_path / "download.csv", rows)
    output = tmp_path / "standardise.csv"
    standardise_shard(manifest, tmp_path / "raw", tmp_path / "videos", output, config, workers)
    return read_manifest(output).set_index("video")


@pytest.fixture(autouse=True)
def version():
    """Asked for before a test replaces `subprocess.run`."""
    return ffmpeg_version()


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    write_video(tmp_path / "raw/v_good.mkv", 10, sound=True)
    return tmp_path / "raw"


def test_broken_files_are_rows(tmp_path, raw):
    write_sound(raw / "v_sound.mp4")
    (raw / "v_empty.mp4").write_bytes(b"")
    (raw / "v_text.webm").write_text("<html>sign in</html>")
    (raw / "v_cut.mp4").write_bytes(write_video(tmp_path / "whole.mp4", 30).read_bytes()[:-500])
    names = ("good", "sound", "empty", "text", "cut", "absent", "dead")
    found = run_shard(tmp_path, [(n, "gone" if n == "dead" else "ok") for n in names])
    assert list(found.index) == list(names)
    assert found["status"].tolist() == ["ok", *["corrupt"] * 5, "gone"]
    assert found.loc["good", "reason"] == ""
    assert "the raw file is missing" in found.loc["absent", "reason"]
    assert all(found.loc[n, "reason"] for n in ("sound", "empty", "text", "cut"))
    # Failed videos leave no files, neither finished nor temporary ones.
    assert sorted(p.name for p in (tmp_path / "videos").iterdir()) == [".made", "v_good.mp4"]
    assert sorted(p.name for p in (tmp_path / "videos/.made").iterdir()) == ["ffmpeg", "v_good.mp4.json"]


def test_sizes_and_sums_are_those_of_the_new_file(tmp_path, raw):
    run_shard(tmp_path, [("good", "ok"), ("absent", "ok")])
    content = (tmp_path / "videos/v_good.mp4").read_bytes()
    text = (tmp_path / "standardise.csv").read_text().splitlines()
    # Integers, although another row has no value.
    assert (
        text[1]
        == f"good,v_good.mp4,ok,,{len(content)},{hashlib.sha256(content).hexdigest()},0.0,0.0,0.0,copied,0.0,,,,"
    )


def cut_behind_the_index(folder, name, **muxer):
    """A file without the second half of its frames, with an intact header and index."""
    whole = write_video(folder / name, 240, gop=10, sound=True, muxer=muxer).read_bytes()
    start = whole.index(b"mdat") if name.endswith(".mp4") else 0
    return whole[: (len(whole) + start) // 2]


@pytest.mark.parametrize(
    ("name", "muxer", "reason"),
    [
        ("whole.mp4", {"movflags": "faststart"}, r"cut short: \d+ of 240 frames are there"),
        ("whole.mkv", {}, r"cut short: [\d.]+ of 8\.\d s are there"),
    ],
)
def test_a_file_cut_behind_its_index_is_a_row(tmp_path, raw, name, muxer, reason):
    (raw / f"v_cut{name[-4:]}").write_bytes(cut_behind_the_index(tmp_path, name, **muxer))
    found = run_shard(tmp_path, [("cut", "ok")]).loc["cut"]
    assert found["status"] == "corrupt"
    assert re.fullmatch(reason, found["reason"])
    assert not list((tmp_path / "videos").iterdir())


WHOLE = {
    "index_behind.mp4": {},
    "index_first.mp4": {"movflags": "faststart"},
    "fragments.mp4": {"movflags": "frag_keyframe+empty_moov"},
    "any.mkv": {},
    "any.avi": {},
    "any.ts": {},
    "any.mov": {},
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_not_taken_for_a_cut_one(tmp_path, name):
    for sound in (False, True):
        found = examine(write_video(tmp_path / name, 60, gop=10, sound=sound, muxer=WHOLE[name]), "50M")
        assert (found.cut_short, found.missing, found.expected) == ("", 0, 60)


def test_real_videos_are_whole(shared):
    for path in sorted((shared / "real_videos").glob("*.mp4")):
        assert examine(path, "50M").cut_short == ""


@pytest.fixture
def encoded(monkeypatch):
    """Names of the videos that are encoded."""
    seen = []
    original = standardise.standardise_video

    def noted(source, output, config):
        seen.append(output.name)
        return original(source, output, config)

    monkeypatch.setattr(standardise, "standardise_video", noted)
    return seen


@pytest.fixture
def two(tmp_path):
    """Two downloaded videos; returns a function that downloads and standardises them."""
    (tmp_path / "mine").mkdir()
    for name, frames in (("a", 20), ("b", 10)):
        write_video(tmp_path / f"mine/{name}.mkv", frames, fps=25, sound=True)

    def run(config=CONFIG, download=None, code="c", extension="mkv"):
        rows = [(name, f"v_{name}.mp4", str(tmp_path / f"mine/{name}.{extension}")) for name in "ab"]
        write_table(pd.DataFrame(rows, columns=LIST_COLUMNS), tmp_path / "list.csv")
        raw, videos = tmp_path / "raw", tmp_path / "videos"
        download_shard(tmp_path / "list.csv", raw, tmp_path / "download.csv", download or DownloadConfig())
        arguments = (tmp_path / "download.csv", raw, videos, tmp_path / "out.csv", config, 2)
        standardise_shard(*arguments, download=download, code=code)
        return read_manifest(tmp_path / "out.csv").set_index("video")

    return run


def test_a_second_run_keeps_what_is_there(two, encoded):
    first = two()
    assert sorted(encoded) == ["v_a.mp4", "v_b.mp4"]
    pd.testing.assert_frame_equal(two(), first)
    pd.testing.assert_frame_equal(two(StandardiseConfig(timeout_s=99.0)), first)
    assert len(encoded) == 2


@pytest.mark.parametrize("fields", [{"crf": 50}, {"fps": 15}, {"shrink": (28, 32)}, {"keyframe_interval": 4}])
def test_other_options_reencode_every_video(two, encoded, tmp_path, caplog, fields):
    caplog.set_level("INFO")
    config = StandardiseConfig(**fields)
    first = two()
    (tmp_path / "videos/v_b.mp4").unlink()
    after = two(config)
    assert sorted(encoded[2:]) == ["v_a.mp4", "v_b.mp4"]
    assert (after["sha256"] != first["sha256"]).all()
    assert "1 videos re-encoded: other options" in caplog.messages
    with VideoReader(tmp_path / "videos/v_a.mp4") as a, VideoReader(tmp_path / "videos/v_b.mp4") as b:
        assert a.fps == b.fps == config.fps
    pd.testing.assert_frame_equal(two(), first)


def test_another_raw_file_is_encoded_alone(two, encoded, tmp_path, caplog):
    caplog.set_level("INFO")
    first = two()
    write_video(tmp_path / "mine/a.mkv", 30, fps=25)
    after = two()
    assert encoded[2:] == ["v_a.mp4"]
    assert (after["sha256"] == first["sha256"]).tolist() == [False, True]
    assert "1 videos re-encoded: other raw file" in caplog.messages


def test_another_extension_is_encoded_again(two, encoded, tmp_path):
    first = two()
    for name in "ab":
        (tmp_path / f"mine/{name}.mkv").rename(tmp_path / f"mine/{name}.webm")
    pd.testing.assert_frame_equal(two(extension="webm"), first)
    assert len(encoded) == 4


def test_a_broken_raw_file_leaves_no_old_video(two, tmp_path):
    two()
    (tmp_path / "mine/a.mkv").write_bytes(b"broken")
    assert two()["status"].tolist() == ["corrupt", "ok"]
    assert not (tmp_path / "videos/v_a.mp4").exists()


def test_another_ffmpeg_reencodes_every_video_and_is_named(two, encoded, caplog, monkeypatch):
    caplog.set_level("INFO")
    monkeypatch.setattr(standardise, "ffmpeg_version", lambda: "7.1 (a)")
    two()
    monkeypatch.setattr(standardise, "ffmpeg_version", lambda: "8.0 (b)")
    two()
    assert len(encoded) == 4
    assert "2 videos re-encoded: ffmpeg 7.1 (a) -> 8.0 (b)" in caplog.messages


def test_other_code_judges_the_videos_again(two, encoded, monkeypatch):
    first = two()
    pd.testing.assert_frame_equal(two(code="edited"), first)
    monkeypatch.setattr(standardise, "defect", lambda path: "stricter" if path.stem == "v_a" else None)
    assert two(code="edited")["status"].tolist() == ["ok", "ok"]
    assert two(code="stricter")["reason"].tolist() == ["stricter", ""]
    assert len(encoded) == 2


def test_videos_without_a_record_are_made_again(two, encoded, tmp_path, caplog):
    caplog.set_level("INFO")
    first = two()
    shutil.rmtree(tmp_path / "videos/.made")
    pd.testing.assert_frame_equal(two(), first)
    assert len(encoded) == 4
    assert "2 videos re-encoded: no record of what they were made of" in caplog.messages


def test_raw_files_may_be_deleted_once_standardised(two, encoded, tmp_path):
    thrifty = DownloadConfig(keep_raw=False)
    first = two(download=thrifty)
    assert [path.name for path in (tmp_path / "raw").iterdir()] == [".made"]
    pd.testing.assert_frame_equal(two(download=thrifty), first)
    pd.testing.assert_frame_equal(two(download=thrifty, code="edited"), first)
    assert len(encoded) == 2
    # Needed again for other options: fetched, used, deleted.
    assert two(FAST, download=thrifty)["status"].tolist() == ["ok", "ok"]
    assert len(encoded) == 4
    assert [path.name for path in (tmp_path / "raw").iterdir()] == [".made"]
    pd.testing.assert_frame_equal(two(), first)
    assert len(list((tmp_path / "raw").glob("*.mkv"))) == 2


def test_a_source_that_changed_behind_its_manifest_is_a_row(two, tmp_path):
    thrifty = DownloadConfig(keep_raw=False)
    two(download=thrifty)
    write_video(tmp_path / "mine/a.mkv", 30, fps=25)
    arguments = (tmp_path / "raw", tmp_path / "videos", tmp_path / "out.csv", FAST, 2)
    standardise_shard(tmp_path / "download.csv", *arguments, download=thrifty)
    found = read_manifest(tmp_path / "out.csv").set_index("video")
    assert found["status"].tolist() == ["gone", "ok"]
    assert found.loc["a", "reason"].endswith("a.mkv: other content than at its download; download the shard again")


def test_a_video_page_needs_its_downloader(tmp_path, raw):
    page = "https://www.youtube.com/watch?v=x"
    Store(raw).record("v_good.mkv", {"address": page, "format": "b"}, notes={"source": page})
    (raw / "v_good.mkv").unlink()
    with pytest.raises(TspError, match=r"^1 raw files of video pages .* --cores 1 -- \S+/download\.csv$"):
        run_shard(tmp_path, [("good", "ok")])
    # Without a record the download step fetches it, whatever `keep_raw` says.
    assert Store(raw).names() == []


def test_the_version_of_ffmpeg():
    assert re.fullmatch(r"\S+ \([0-9a-f]{8}\)", ffmpeg_version())


def test_the_raw_file_may_be_deleted_afterwards(tmp_path, raw):
    first = run_shard(tmp_path, [("good", "ok")])
    (raw / "v_good.mkv").unlink()
    pd.testing.assert_frame_equal(run_shard(tmp_path, [("good", "ok")]), first)


def test_a_raw_file_that_is_not_the_manifest_s_is_refused(tmp_path, raw):
    manifest = manifest_of(tmp_path / "download.csv", [("good", "ok")])
    table = read_manifest(manifest).assign(sha256="0" * 64)
    write_table(table.astype({"bytes": "Int64"}), manifest)
    with pytest.raises(TspError, match=r"v_good\.mkv: not the file listed in .*download\.csv; delete both"):
        standardise_shard(manifest, raw, tmp_path / "videos", tmp_path / "out.csv", CONFIG, 1)


def test_a_damaged_raw_file_of_the_recorded_date_is_refused(two, tmp_path):
    two()
    (tmp_path / "videos/v_a.mp4").unlink()
    raw = tmp_path / "raw/v_a.mkv"
    times, content = raw.stat(), bytearray(raw.read_bytes())
    content[len(content) // 2] ^= 1
    raw.unlink()
    raw.write_bytes(content)
    os.utime(raw, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(TspError, match="not the file listed in"):
        two()


def test_a_damaged_output_is_made_again(tmp_path, raw):
    first = run_shard(tmp_path, [("good", "ok")])
    (tmp_path / "videos/v_good.mp4").write_bytes(b"")
    pd.testing.assert_frame_equal(run_shard(tmp_path, [("good", "ok")]), first)


def fake_ffmpeg(monkeypatch, code, message):
    def run(call, **options):
        return subprocess.CompletedProcess(call, code, b"", message)

    monkeypatch.setattr(encode.subprocess, "run", run)


def test_a_full_disk_stops_everything(tmp_path, raw, monkeypatch):
    fake_ffmpeg(monkeypatch, 1, b"av_interleaved_write_frame(): No space left on device\n")
    with pytest.raises(TspError, match="No space left"):
        run_shard(tmp_path, [("good", "ok")])
    assert list((tmp_path / "videos").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (1, b"one\n\nlast  line\n", "last line"),
        (-9, b"", "ffmpeg cannot encode it: exit status -9"),
        (1, b"\xff\xfe bad", "bad"),
    ],
)
def test_reasons_are_one_line(tmp_path, raw, monkeypatch, code, message, reason):
    fake_ffmpeg(monkeypatch, code, message)
    with pytest.raises(UnusableVideo, match=reason) as caught:
        standardise_video(raw / "v_good.mkv", tmp_path / "out.mp4", CONFIG)
    assert "\n" not in str(caught.value)


def test_a_hanging_ffmpeg_is_stopped(tmp_path, raw, monkeypatch):
    monkeypatch.setattr(encode, "command", lambda *arguments: ["sleep", "30"])
    with pytest.raises(UnusableVideo, match=r"stopped after 0\.1 s"):
        standardise_video(raw / "v_good.mkv", tmp_path / "out.mp4", StandardiseConfig(timeout_s=0.1))
    assert not (tmp_path / "out.mp4").exists()
