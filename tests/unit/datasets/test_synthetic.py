"""The miniature data set: reproducible, with annotations that match its files."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from tsp.datasets import rendering
from tsp.datasets.rendering import encode, render
from tsp.datasets.scenes import KINDS, Look, Scene, timeline
from tsp.datasets.synthetic import FORMATS, ODD_NAMES, SyntheticConfig, plan, read
from tsp.errors import TspError
from tsp.io.sources import facts_path, shard_token
from tsp.video.decode import VideoReader

UNTRIMMED = SyntheticConfig(n_train=30, n_valid=30)
TRIMMED = SyntheticConfig(kind="trimmed", n_train=5, n_valid=5, seconds=(0.2, 0.3), faults=False)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def in_threads(monkeypatch):
    monkeypatch.setattr(rendering, "ProcessPoolExecutor", ThreadPoolExecutor)


@pytest.mark.parametrize("config", [UNTRIMMED, TRIMMED])
def test_plans_depend_on_the_seed(tmp_path, config):
    assert plan(config, tmp_path) == plan(config, tmp_path)
    other = plan(replace(config, seed=1), tmp_path)
    assert [v.name for v in other] == [v.name for v in plan(config, tmp_path)]
    assert all(a.duration_s != b.duration_s for a, b in zip(other, plan(config, tmp_path), strict=True))


def test_plans_of_the_two_kinds_differ(tmp_path):
    same = replace(UNTRIMMED, kind="trimmed")
    durations = [[v.duration_s for v in plan(config, tmp_path)] for config in (UNTRIMMED, same)]
    assert durations[0] != durations[1]


def test_untrimmed_annotations(tmp_path):
    videos = plan(UNTRIMMED, tmp_path)
    assert [sum(v.subset == s for v in videos) for s in ("training", "validation")] == [30, 30]
    assert len({v.name for v in videos}) == len({v.filename for v in videos}) == 60
    assert {v.name for v in videos} >= set(ODD_NAMES)
    for video in videos:
        assert 20 <= video.duration_s <= 36
        assert video.filename == f"v_{video.name}.mp4"
        assert len({s.label for s in video.segments}) == 1
        times = np.array([(s.start_s, s.end_s) for s in video.segments])
        # In order, at least two clips apart, within the video, with background at both ends.
        assert (np.diff(times, axis=1) >= 1.8 - 0.011).all()
        assert (times[1:, 0] - times[:-1, 1] >= 2.0 - 0.011).all()
        assert times[0, 0] >= 1.5
        assert times[-1, 1] <= video.duration_s - 1.19


def test_captions_tell_actions_and_background_without_gaps(tmp_path):
    for video in plan(UNTRIMMED, tmp_path):
        times, sentences = zip(*((c["segment"], c["sentence"]) for c in video.extra["captions"]), strict=True)
        assert (times[0][0], times[-1][1]) == (0.0, video.duration_s)
        assert [end for _, end in times[:-1]] == [start for start, _ in times[1:]]
        assert [tuple(t) for t in times[1::2]] == [(s.start_s, s.end_s) for s in video.segments]
        assert all(f"does a {video.segments[0].label} " in sentence for sentence in sentences[1::2])
        assert all(" drifts " in sentence for sentence in sentences[::2])


def test_captions_of_a_trimmed_video(tmp_path):
    assert all(len(video.extra["captions"]) == 1 for video in plan(TRIMMED, tmp_path))


def test_every_class_and_format_is_in_both_subsets(tmp_path):
    videos = plan(UNTRIMMED, tmp_path)
    for subset in ("training", "validation"):
        chosen = [v for v in videos if v.subset == subset]
        assert {v.segments[0].label for v in chosen} == {kind.label for kind in KINDS}
        assert {v.source.rsplit(".", 1)[1] for v in chosen} == {form.suffix[1:] for form in FORMATS}


def test_trimmed_annotations(tmp_path):
    for video in plan(TRIMMED, tmp_path):
        (action,) = video.segments
        assert (action.start_s, action.end_s) == (0.0, video.duration_s)


@pytest.mark.parametrize("fields", [{"n_train": 4}, {"n_valid": 0}])
def test_sets_without_all_classes(fields):
    with pytest.raises(TspError, match="one video per class"):
        SyntheticConfig(**fields)


def test_untrimmed_videos_must_have_room_for_an_action():
    with pytest.raises(TspError, match="seconds"):
        SyntheticConfig(seconds=(3.0, 4.0))
    with pytest.raises(TspError, match="seconds"):
        SyntheticConfig(seconds=(30.0, 20.0))
    for seed in range(300):
        assert timeline(13.0, np.random.default_rng(seed))


def test_render_and_read_back(tmp_path, in_threads):
    render(TRIMMED, tmp_path / "videos", tmp_path / "annotations.json", workers=2)
    videos = read([tmp_path / "annotations.json"])
    assert videos == plan(TRIMMED, tmp_path / "videos")
    for video in videos:
        with VideoReader(video.source) as reader:
            assert reader.fps == 30
            assert reader.n_frames == int(video.duration_s * 30)


def test_render_keeps_files_and_repeats_them_bit_for_bit(tmp_path, in_threads):
    for name in ("a", "b"):
        render(TRIMMED, tmp_path / name, tmp_path / f"{name}.json", workers=2)
    first, second = (sorted((tmp_path / name).glob("*.mp4")) for name in ("a", "b"))
    assert [p.name for p in first] == [p.name for p in second]
    assert all(p.read_bytes() == q.read_bytes() for p, q in zip(first, second, strict=True))
    stamps = [p.stat().st_mtime_ns for p in first]
    first[0].write_bytes(b"mine")
    render(TRIMMED, tmp_path / "a", tmp_path / "a.json", workers=2)
    assert first[0].read_bytes() == second[0].read_bytes()
    assert [p.stat().st_mtime_ns for p in first[1:]] == stamps[1:]


def rendered(tmp_path, config, **options):
    """Content of each file after `render` into a folder that may hold files."""
    render(config, tmp_path / "origin", tmp_path / "origin.json", workers=2, **options)
    return contents(tmp_path / "origin")


@pytest.mark.parametrize(
    "config",
    [
        replace(TRIMMED, seed=1, faults=True),
        replace(TRIMMED, n_train=7),
        replace(TRIMMED, seconds=(0.3, 0.4)),
        replace(TRIMMED, kind="untrimmed", seconds=(13.0, 13.1)),
    ],
)
def test_files_follow_the_configuration(tmp_path, in_threads, config):
    before = rendered(tmp_path, replace(TRIMMED, faults=True, n_valid=6))
    render(config, tmp_path / "clean", tmp_path / "clean.json", workers=2)
    after = rendered(tmp_path, config)
    assert after == contents(tmp_path / "clean")
    assert after != before


def test_only_what_differs_is_rendered(tmp_path, in_threads, caplog):
    caplog.set_level("INFO")
    rendered(tmp_path, TRIMMED)
    rendered(tmp_path, replace(TRIMMED, n_valid=6))
    assert caplog.messages[-1].endswith("11 videos in " + str(tmp_path / "origin") + ", 1 of them rendered now")
    rendered(tmp_path, TRIMMED)
    assert caplog.messages[-1].endswith(", 0 of them rendered now")
    rendered(tmp_path, TRIMMED, code="edited")
    assert caplog.messages[-1].endswith(", 10 of them rendered now")


def test_a_missing_file_is_noticed_by_the_planner(tmp_path, in_threads):
    facts = facts_path(tmp_path / "origin", "origin")

    def token():
        return shard_token(tmp_path / "origin.json", facts)

    clean = rendered(tmp_path, replace(TRIMMED, faults=True), facts=facts, token=token())
    assert token() == "first"
    next((tmp_path / "origin").glob("*.mp4")).unlink()
    new = token()
    assert new != "first"
    assert rendered(tmp_path, replace(TRIMMED, faults=True), facts=facts, token=new) == clean
    assert token() == new


def test_files_without_a_record_are_rendered_again(tmp_path, in_threads, caplog):
    clean = rendered(tmp_path, TRIMMED)
    shutil.rmtree(tmp_path / "origin/.made")
    next((tmp_path / "origin").iterdir()).write_bytes(b"old")
    assert rendered(tmp_path, TRIMMED) == clean
    assert "10 videos had no record of what they show and are rendered again" in caplog.text


def test_faults_are_announced_but_not_playable(tmp_path, in_threads):
    config = replace(TRIMMED, faults=True)
    render(config, tmp_path / "videos", tmp_path / "annotations.json", workers=2)
    dead, broken = read([tmp_path / "annotations.json"])[-2:]
    assert (dead.name, broken.name) == ("dead_link", "broken_file")
    assert not (tmp_path / "videos/dead_link.mp4").exists()
    with pytest.raises(TspError):
        VideoReader(broken.source)


def scene(actions=((1.0, 2.0),), seed=0, **fields):
    return Scene(KINDS[0], Look(**fields), 3.0, list(actions), [seed])


def test_the_object_moves_in_actions_only():
    quiet = scene(noise=0.0, drift=0.0)
    moved = [np.abs(quiet.frame(t + 0.1).astype(int) - quiet.frame(t)).mean() for t in np.arange(0, 2.9, 0.1)]
    inside, outside = moved[10:19], moved[:9] + moved[21:]
    assert min(inside) > 3 * max(outside)


def test_pictures_depend_on_seed_and_time_only():
    assert np.array_equal(scene().frame(1.5), scene().frame(1.5))
    assert not np.array_equal(scene().frame(1.5), scene(seed=1).frame(1.5))
    assert scene().frame(2.999).shape == (56, 64, 3)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: f"{form.suffix[1:]}-{float(form.fps):.0f}")
def test_formats(tmp_path, form):
    path = tmp_path / f"a{form.suffix}"
    sound = np.sin(np.arange(8_000) / 10).astype(np.float32)
    encode(path, form, scene(), 0.5, sound)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.height, video.width) == (56, 64)
        times = [frame.time for frame in container.decode(video)]
        heard = audio.codec_context.name
    # Frames at 0, 1/fps ...; or 20 to 50 ms apart.
    if form.fps:
        assert len(times) == int(Fraction(1, 2) * form.fps)
        # AVI inserts the delay of mp3 after its first frame.
        gaps = np.diff(times)[form.suffix == ".avi" :]
        assert gaps == pytest.approx(float(1 / form.fps), abs=0.002)
    else:
        assert 10 <= len(times) <= 25
        assert len(set(np.diff(times).round(3).tolist())) > 4
    assert heard.removesuffix("float") in form.audio.replace("libmp3lame", "mp3").replace("libopus", "opus")


def test_files_without_sound(tmp_path):
    encode(tmp_path / "a.mp4", FORMATS[0], scene(), 0.2, None)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert not container.streams.audio
