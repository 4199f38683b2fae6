"""Results follow what is on disk: replaced sources, other options of standardising, another seed."""

import subprocess

import numpy as np
import pandas as pd
import pytest
from unit.video.make import write_video

from tsp.io.annotations import read_annotations
from tsp.io.files import sha256
from tsp.video.decode import VideoReader

METADATA = "results/mine/metadata/all.csv"


def overlay(standardise="{}", more=""):
    return f"""
build: {{tables: [], ablations: [], captions: [], features: []}}
download: {{workers: 1{more}}}
datasets:
  mine:
    reader: tsp.datasets.folder:read
    annotations: [my_videos]
    subsets: {{all: {{official: all}}}}
    train: all
    valid: all
    max_failed: 0.9
    labels: []
    standardise: {standardise}
"""


@pytest.fixture
def mine(snakemake, tmp_path):
    """A folder with one video of 10 s, standardised; `mine()` runs the workflow and returns the metadata by video."""
    (tmp_path / "my_videos").mkdir()
    write_video(tmp_path / "my_videos/a.mp4", 300, sound=True)
    (tmp_path / "mine.yaml").write_text(overlay())

    def run():
        done = snakemake(tmp_path, "--configfile", tmp_path / "mine.yaml", "--", METADATA)
        run.text = done.stdout + done.stderr
        assert done.returncode == 0, run.text[-3000:]
        return pd.read_csv(tmp_path / METADATA).set_index("filename")

    run.folder = tmp_path
    assert run().to_dict("index") == {"a.mp4": {"video-duration": 10.0, "fps": 30.0, "video-frames": 300}}
    return run


def shown(mine, frames):
    """Whether nothing is left to do, and the standardised video is that of the given length."""
    found = mine()
    assert found["video-frames"].tolist() == frames
    before = {path: path.stat().st_mtime_ns for path in (mine.folder / "results/mine/videos").rglob("*.mp4")}
    mine()
    assert "Nothing to be done" in mine.text
    assert {path: path.stat().st_mtime_ns for path in before} == before
    return found


def test_a_replaced_source(mine):
    """As `replaced.sh`: in place, by renaming, under another extension; then one more, and one fewer."""
    videos = mine.folder / "my_videos"
    new = write_video(mine.folder / "new.mp4", 600, sound=True)
    subprocess.run(["cp", new, videos / "a.mp4"], check=True)
    found = shown(mine, [600])
    assert found.loc["a.mp4", "video-duration"] == 20.0

    write_video(mine.folder / "new.mp4", 450)
    subprocess.run(["mv", new, videos / "a.mp4"], check=True)
    shown(mine, [450])

    subprocess.run(["mv", videos / "a.mp4", videos / "a.mov"], check=True)
    shown(mine, [450])
    write_video(videos / "a.mov", 150)
    shown(mine, [150])

    (videos / "sub").mkdir()
    write_video(videos / "sub/-b 'ü'.mkv", 90)
    shown(mine, [90, 150])
    (videos / "a.mov").unlink()
    assert list(shown(mine, [90]).index) == ["-b 'ü'.mp4"]


def test_a_touched_source_runs_nothing(mine):
    (mine.folder / "my_videos/a.mp4").touch()
    mine()
    assert "Nothing to be done" in mine.text


def test_other_options_of_standardising(mine):
    write_video(mine.folder / "my_videos/b.mp4", 60)
    shown(mine, [300, 60])
    store = mine.folder / "results/mine/videos/all"
    (store / "b.mp4").unlink()
    (mine.folder / "mine.yaml").write_text(overlay("{crf: 50, fps: 15, shrink: [28, 32]}"))
    shown(mine, [150, 30])
    for path in store.glob("*.mp4"):
        with VideoReader(path) as reader:
            assert reader.fps == 15
            assert next(reader.iterate()).shape == (28, 32, 3)


def test_raw_files_that_are_not_kept(mine):
    raw = mine.folder / "results/mine/raw/all"
    digest = sha256(mine.folder / "results/mine/videos/all/a.mp4")
    (mine.folder / "mine.yaml").write_text(overlay(more=", keep_raw: false"))
    shown(mine, [300])
    assert not list(raw.glob("*.mp4"))
    (mine.folder / "mine.yaml").write_text(overlay("{fps: 15}", more=", keep_raw: false"))
    shown(mine, [150])
    (mine.folder / "mine.yaml").write_text(overlay(more=", keep_raw: false"))
    shown(mine, [300])
    assert sha256(mine.folder / "results/mine/videos/all/a.mp4") == digest
    assert not list(raw.glob("*.mp4"))


GENERATED = """
build: {{tables: [], ablations: [], captions: [], features: []}}
datasets:
  clips:
    reader: tsp.datasets.synthetic:read
    annotations: [results/clips/origin/annotations.json]
    generate: {{kind: trimmed, n_train: 5, n_valid: 5, seconds: [0.3, 0.9], seed: {seed}, faults: false}}
    subsets: {{train: {{official: training}}, valid: {{official: validation}}}}
    labels: [hop, shake, circle, slash, weave]
"""


def test_another_seed_of_a_generated_data_set(snakemake, tmp_path):
    metadata = "results/clips/metadata/train.csv"

    def built(folder, seed):
        folder.mkdir(exist_ok=True)
        (folder / "clips.yaml").write_text(GENERATED.format(seed=seed))
        done = snakemake(folder, "--configfile", folder / "clips.yaml", "--", metadata)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        videos = sorted((folder / "results/clips").rglob("*.mp4"))
        return (folder / metadata).read_bytes(), {str(p.relative_to(folder)): sha256(p) for p in videos}

    first, again = built(tmp_path / "a", 0), built(tmp_path / "a", 1)
    assert again == built(tmp_path / "clean", 1)
    assert not set(first[1].values()) & set(again[1].values())
    seconds = [v.duration_s for v in read_annotations(tmp_path / "a/results/clips/origin/annotations.json")]
    frames = pd.read_csv(tmp_path / "a" / metadata)["video-frames"]
    np.testing.assert_array_equal(frames, [int(s * 30) for s in seconds[:5]])
