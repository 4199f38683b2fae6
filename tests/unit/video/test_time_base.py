"""Second t of a standardised file is what a player shows and plays at second t of the source; damage is measured."""

import hashlib
import os
import subprocess

import numpy as np
import pytest
from unit.video.make import HEIGHT, WIDTH, number_of, numbers_of, write_sound, write_video

from tsp.datasets.rendering import SOUND_HZ, encode
from tsp.datasets.scenes import KINDS, Look, Scene
from tsp.datasets.synthetic import FORMATS
from tsp.errors import TspError
from tsp.video.binaries import ffmpeg_path
from tsp.video.config import StandardiseConfig
from tsp.video.decode import VideoReader
from tsp.video.encode import UnusableVideo, command, standardise_video
from tsp.video.sound import SoundReader
from tsp.video.source import damaged_pictures, examine

CONFIG = StandardiseConfig(crf=12)


def ff(*words):
    subprocess.run([ffmpeg_path(), "-y", "-v", "error", "-nostdin", *map(str, words)], check=True)


def standardised(path, config=CONFIG):
    output = path.parent / f"{path.name}.out.mp4"
    facts = standardise_video(path, output, config)
    with VideoReader(output) as reader:
        return facts, list(reader.iterate()), output


def number_of_case(frame):
    """The number in a picture of the shared cases: 12 columns, the lower half inverted."""
    grey = np.asarray(frame, dtype=float).mean(axis=2)
    height, columns = grey.shape[0], ((np.arange(12) + 0.5) * grey.shape[1] / 12).astype(int)
    return int(((grey[height // 4, columns] > grey[3 * height // 4, columns]) << np.arange(12)).sum())


def click_s(path):
    with SoundReader(path) as reader:
        return np.flatnonzero(np.abs(np.concatenate(list(reader.mono()))) > 0.3)[0] / reader.rate


@pytest.mark.parametrize(
    ("name", "numbers", "click"),
    [
        # Cut with `-ss 6`: sound from 0 s, pictures from 4 s, of which the first is number 300.
        ("cut.mp4", {0: 300, 3: 300, 5: 330, 9: 450}, 2.0),
        ("vlate.mp4", {0: 0, 1: 0, 3: 30, 9: 210}, 3.0),
        ("alate.mp4", {0: 0, 3: 90, 9: 270}, 5.0),
        ("cover.mkv", {0: 0, 3: 90, 9: 270}, 3.0),
        ("apac.mp4", {0: 0, 3: 90, 9: 270}, None),
    ],
)
def test_the_shared_cases(shared, tmp_path, name, numbers, click):
    (tmp_path / name).write_bytes((shared.parent / "cases/media" / name).read_bytes())
    facts, frames, output = standardised(tmp_path / name)
    found = {second: number_of_case(frames[30 * second]) for second in numbers}
    # The sound of `cut.mp4` begins 14 ms after its time stamp 0: less than half a picture.
    assert all(abs(found[second] - n) <= 1 for second, n in numbers.items()), found
    if click is None:
        assert (facts.audio, facts.notes) == ("undecodable", "its sound cannot be decoded and is ignored")
    else:
        assert click_s(output) == pytest.approx(click, abs=0.02)
    assert facts.damaged_share == 0


def test_a_file_of_holes_is_unusable(shared, tmp_path):
    with pytest.raises(UnusableVideo, match=r"^damaged: \d\d% of its frames are missing or broken$"):
        standardise_video(shared.parent / "cases/media/holes.mkv", tmp_path / "out.mp4", CONFIG)
    assert not list(tmp_path.iterdir())


def has_the_plain_pixels(source, folder):
    """Against the command of the released code, run here: another ffmpeg may encode otherwise."""
    plain, output = folder / "plain.mp4", folder / "out.mp4"
    ff("-i", source, "-filter_complex", "[0:v:0]fps=fps=30[s0]", "-map", "[s0]", "-map", "0:a:0?", "-threads", 1, plain)
    facts = standardise_video(source, output, StandardiseConfig())
    assert (facts.picture_start_s, facts.damaged_share) == (0.0, 0.0)
    digests = []
    for path in (plain, output):
        with VideoReader(path) as reader:
            digests.append(hashlib.sha256(b"".join(frame.tobytes() for frame in reader.iterate())).hexdigest())
    return digests[0] == digests[1]


@pytest.mark.parametrize("name", ["v_GGSY1Qvo990.mp4", "v_ZNVhz7ctTq0.mp4"])
def test_official_videos_keep_their_pixels(shared, tmp_path, name):
    assert has_the_plain_pixels(shared / "real_videos" / name, tmp_path)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)
def test_videos_of_the_miniature_keep_their_pixels(tmp_path, form):
    source, seconds = tmp_path / f"in{form.suffix}", 6
    sound = np.sin(np.arange(SOUND_HZ * seconds) / 10).astype(np.float32)
    encode(source, form, Scene(KINDS[0], Look(), seconds, [(1.0, 2.0)], [0]), seconds, sound)
    assert has_the_plain_pixels(source, tmp_path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv", "mov"])
@pytest.mark.parametrize("late", ["pictures", "sound"])
def test_late_starts_in_every_container(tmp_path, suffix, late):
    base, source = write_video(tmp_path / "base.mp4", 90, sound=True), tmp_path / f"late.{suffix}"
    first, second = ("1:v", "0:a") if late == "pictures" else ("0:v", "1:a")
    ff("-i", base, "-itsoffset", 1, "-i", base, "-map", first, "-map", second, "-c", "copy", source)
    facts, frames, _ = standardised(source)
    start = 30 if late == "pictures" else 0
    numbers = numbers_of(frames)
    expected = [max(0, k - start) for k in range(len(numbers))]
    # Containers that do not state the 64 ms of priming have sound there, so zero is two pictures earlier.
    assert np.abs(np.subtract(numbers, expected))[: 89 + start].max() <= 2
    assert facts.picture_start_s == pytest.approx(start / 30, abs=0.07)
    assert facts.sound_start_s == pytest.approx(0 if late == "pictures" else 1, abs=0.07)


def test_fragments_begin_late_too(tmp_path):
    base, source = write_video(tmp_path / "base.mp4", 60, sound=True), tmp_path / "late.mp4"
    late = ("-itsoffset", 1, "-i", base, "-map", "1:v", "-map", "0:a", "-c", "copy")
    ff("-i", base, *late, "-movflags", "frag_keyframe+empty_moov", source)
    _, frames, _ = standardised(source)
    assert [number_of(frames[k]) for k in (0, 15, 29)] == [0, 0, 0]
    assert number_of(frames[60]) == pytest.approx(30, abs=2)


def test_the_default_sound_is_taken_by_its_index(tmp_path):
    base, source = write_video(tmp_path / "base.mp4", 60, sound=True), tmp_path / "two.mkv"
    silence = ("-f", "lavfi", "-i", "anullsrc=d=2", "-map", "0:v", "-map", "1:a", "-map", "0:a", "-c:v", "copy")
    ff("-i", base, *silence, "-disposition:a:0", "0", "-disposition:a:1", "default", source)
    found = examine(source, "50M")
    assert (found.picture, found.sound) == (0, 2)
    _, _, output = standardised(source)
    with SoundReader(output) as reader:
        assert np.abs(np.concatenate(list(reader.mono()))).max() > 0.1


@pytest.mark.parametrize("size", [(WIDTH + 1, HEIGHT), (WIDTH, HEIGHT + 1), (WIDTH + 1, HEIGHT + 1)])
def test_odd_sizes(tmp_path, size):
    source = tmp_path / "odd.mkv"
    ff("-f", "lavfi", "-i", f"testsrc=d=1:r=30:s={size[0]}x{size[1]}", "-c:v", "ffv1", "-pix_fmt", "yuv420p", source)
    _, frames, _ = standardised(source)
    assert len(frames) == 30
    assert frames[0].shape == (size[1], size[0], 3)


def test_turned_pictures_are_upright(tmp_path):
    base, source = write_video(tmp_path / "base.mp4", 10), tmp_path / "turned.mp4"
    ff("-display_rotation", "90", "-i", base, "-c", "copy", source)
    _, frames, _ = standardised(source)
    assert number_of(np.rot90(frames[7], -1)) == 7


def test_sources_that_need_nothing_get_the_plain_command(tmp_path):
    source = write_video(tmp_path / "in.mp4", 10, sound=True)
    plain, found = (command(source, tmp_path / "o.mp4", CONFIG, s) for s in (None, examine(source, "50M")))
    assert plain == found


def test_sound_alone_is_refused_in_words(tmp_path):
    with pytest.raises(UnusableVideo, match=r"^has no pictures, only sound$"):
        standardise_video(write_sound(tmp_path / "in.mp4"), tmp_path / "out.mp4", CONFIG)


def holed(path, share):
    """Zero bytes in the middle of a file, so that about this share of its pictures is lost."""
    content = bytearray(path.read_bytes())
    begin, n = len(content) // 3, int(len(content) * share)
    content[begin : begin + n] = bytes(n)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_share_of_damage_is_measured_and_judged_by_the_option(tmp_path, suffix):
    source = holed(write_video(tmp_path / f"in.{suffix}", 300, gop=10), 0.2)
    with pytest.raises(UnusableVideo, match="of its frames are missing or broken"):
        standardise_video(source, tmp_path / "out.mp4", CONFIG)
    facts, frames, _ = standardised(source, StandardiseConfig(max_damaged=0.9))
    lost = 1 - len(set(numbers_of(frames)) & set(range(300))) / 300
    assert facts.damaged_share == pytest.approx(lost, abs=0.1)
    assert "frames are missing or broken" in facts.notes


def test_a_small_damage_is_used_and_listed(tmp_path):
    source = holed(write_video(tmp_path / "in.mp4", 300, gop=10), 0.004)
    facts, frames, _ = standardised(source)
    assert 0 < facts.damaged_share <= 0.05
    assert "missing or broken" in facts.notes
    assert len(frames) == pytest.approx(300, abs=2)


def test_a_variable_rate_is_no_damage(tmp_path):
    times = np.cumsum([0, *np.random.default_rng(0).integers(20, 51, 89)]).tolist()
    facts, _, _ = standardised(write_video(tmp_path / "uneven.mkv", 90, times_ms=times))
    assert (facts.damaged_share, facts.notes) == (0.0, "")


def test_a_pause_is_listed_and_no_damage(tmp_path):
    times = [k * 1000 // 30 + (2000 if k >= 60 else 0) for k in range(120)]
    facts, frames, _ = standardised(write_video(tmp_path / "pause.mkv", 120, times_ms=times))
    assert (facts.damaged_share, facts.notes) == (0.0, "its pictures pause, for 60 frames in all")
    assert number_of(frames[90]) == 59


def test_a_wrong_time_stamp_is_no_second_recording(tmp_path):
    whole = write_video(tmp_path / "in.ts", 90)
    assert not examine(whole, "50M").joined
    joined = tmp_path / "joined.ts"
    joined.write_bytes(whole.read_bytes() * 2)
    assert examine(joined, "50M").joined
    facts, frames, _ = standardised(joined)
    assert len(frames) == pytest.approx(180, abs=3)
    assert facts.notes.startswith("several recordings in one file are joined")


def test_messages_are_counted_per_picture():
    line = "[vist#0:0/h264 @ 0x1] [dec:h264 @ 0x2] [warning] corrupt decoded frame"
    assert damaged_pictures("\n".join([line, line, "[h264 @ 0x3] [error] no frame!"]), "h264") == 2
    assert damaged_pictures("[h264 @ 0x3] [error] error while decoding MB 1 2\n" * 3, "h264") == 3
    assert damaged_pictures("[aac @ 0x3] [error] invalid band type\n", "h264") == 0


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_impossible_tolerances(share):
    with pytest.raises(TspError, match="max_damaged"):
        StandardiseConfig(max_damaged=share)


def test_pictures_without_time_stamps(tmp_path):
    base, source = write_video(tmp_path / "base.mp4", 60, sound=True), tmp_path / "raw.h264"
    ff("-i", base, "-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb", source)
    facts, frames, _ = standardised(source)
    assert (facts.offset_s, facts.picture_start_s, facts.damaged_share) == (0, 0, 0)
    assert number_of(frames[-1]) > number_of(frames[0])


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UnusableVideo, match="is no file"):
        standardise_video(tmp_path / "pipe.mp4", tmp_path / "out.mp4", CONFIG)


def test_sound_that_begins_after_the_first_megabytes(tmp_path):
    """Program streams have no list of streams: sound is found where it begins."""
    noise, base, source = tmp_path / "noise.ts", write_video(tmp_path / "base.mp4", 30, sound=True), tmp_path / "in.mpg"
    picture = "nullsrc=s=640x360:d=3,geq=random(1)*255:128:128"
    ff("-f", "lavfi", "-i", picture, "-c:v", "mpeg2video", "-q:v", 1, "-b:v", "40M", noise)
    sound = ("-itsoffset", 1.5, "-t", 0.5, "-i", base, "-map", "0:v", "-map", "1:a")
    ff("-i", noise, *sound, "-c:v", "copy", "-c:a", "mp2", "-muxdelay", 0, source)
    facts, _, output = standardised(source)
    assert facts.audio in ("copied", "lossless")
    assert facts.sound_start_s == pytest.approx(1.5, abs=0.05)
    assert SoundReader.has_sound(output)
