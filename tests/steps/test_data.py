"""Step scripts from raw annotations to the clip index."""

import json

import av
import numpy as np
import pytest

from tsp.datasets.examine import STRICT
from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.tables import read_manifest, read_metadata, read_segments, read_table

EXAMINE = {"options": dict.fromkeys(STRICT), "rule": "clean", "subsets": ["training"], "labels": ["run"]}
SHARD = {"shard": 0, "shards": 1, "shard_size": 10}


def write_video(path, frames=40, rate=20):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = 32
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 5 * k, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def chain(step, tmp_path_factory):
    """Two local videos, one of them broken, through every data step."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "origin").mkdir()
    write_video(folder / "origin/-a b.mp4")
    (folder / "origin/broken.mp4").write_bytes(b"no video")
    database = {
        name: {"subset": "training", "duration": 2.0, "annotations": [{"segment": [0.2, 0.9], "label": "run"}]}
        for name in ("-a b", "broken")
    }
    raw = folder / "raw.json"
    raw.write_text(json.dumps({"version": "1.3", "taxonomy": [], "database": database}))
    reader = {"reader": "tsp.datasets.synthetic:read", "annotations": [str(raw)], "url": ""}
    step(
        "annotations", output=[folder / "annotations.json"],
        params={"dataset": {**reader, "videos": str(folder / "origin")}, "examine": EXAMINE},
    )  # fmt: skip
    step(
        "video_list", input={"raw": raw}, output=[folder / "list.csv"],
        params={"dataset": {**reader, "videos": str(folder / "origin")}, "official": "training", "shard": SHARD},
    )  # fmt: skip
    step(
        "download", input={"videos": folder / "list.csv"}, output=[folder / "download.csv"],
        params={"config": {"workers": 2}, "store": str(folder / "raw"), "sources": "first"}, wildcards={"shard": "0"},
    )  # fmt: skip
    step(
        "standardise", input={"manifest": folder / "download.csv"}, output=[folder / "standardise.csv"],
        params={
            "config": {"fps": 30}, "raw": str(folder / "raw"), "store": str(folder / "videos"), "download": {},
            "code": "c", "encoding": "",
        },
    )  # fmt: skip
    step(
        "probe", input={"manifest": folder / "standardise.csv"}, output=[folder / "probe.csv"],
        params={"store": str(folder / "videos")},
    )  # fmt: skip
    return folder


def join(step, folder, max_failed):
    output = {"metadata": folder / "metadata.csv", "manifest": folder / "manifest.csv"}
    step("metadata", input={"manifests": [folder / "probe.csv"]}, output=output, params={"max_failed": max_failed})


def test_annotations_keep_odd_names(chain):
    assert [video.name for video in read_annotations(chain / "annotations.json")] == ["-a b", "broken"]


def test_list_names_the_local_files(chain):
    sources = read_table(chain / "list.csv", ["video", "filename", "source"])["source"].tolist()
    assert sources == [str(chain / "origin/-a b.mp4"), str(chain / "origin/broken.mp4")]


def test_a_broken_video_is_a_row(chain):
    assert read_manifest(chain / "download.csv")["status"].tolist() == ["ok", "ok"]
    assert read_manifest(chain / "probe.csv")["status"].tolist() == ["ok", "corrupt"]


def test_annotations_report(step, chain):
    step(
        "annotations_report", input={"metadata": []}, output=[chain / "report.csv"],
        params={
            "dataset": {"reader": "tsp.datasets.synthetic:read", "annotations": [str(chain / "raw.json")]},
            "examine": {**EXAMINE, "labels": ["jump"]},
        },
    )  # fmt: skip
    rows = (chain / "report.csv").read_text().splitlines()
    assert rows == ["video,finding,value,action", "-a b,label,'run',error", "broken,label,'run',error"]


def test_metadata_and_segments(step, chain):
    join(step, chain, 0.5)
    row = read_metadata(chain / "metadata.csv").iloc[0]
    assert (row["filename"], row["fps"], row["video-frames"]) == ("-a b.mp4", 30, 60)
    step(
        "segments",
        input={"annotations": chain / "annotations.json", "metadata": chain / "metadata.csv"},
        output=[chain / "segments.csv"],
        params={"official": "training", "background": {"rule": "clean", "min_clips": 1}, "examine": EXAMINE},
    )
    rows = read_segments(chain / "segments.csv")
    assert rows["temporal-region-label"].tolist() == ["Action", "No action"]
    assert rows[["t-start", "t-end"]].values.tolist() == [[0.2, 0.9], [0.9, 2.0]]


def test_too_many_failures_stop_the_step(step, chain):
    with pytest.raises(TspError, match=r"1 of 2 videos cannot be used.*broken: corrupt"):
        join(step, chain, 0.1)


def test_an_unknown_subset_is_refused(step, chain):
    with pytest.raises(TspError, match="no video has the subset 'tests'"):
        step(
            "video_list", input={"raw": chain / "raw.json"}, output=[chain / "x.csv"],
            params={
                "dataset": {"reader": "tsp.datasets.synthetic:read", "annotations": [str(chain / "raw.json")],
                            "videos": None, "url": ""},
                "official": "tests", "shard": SHARD,
            },
        )  # fmt: skip


def test_a_misspelt_setting_is_refused(step, chain):
    with pytest.raises(TspError, match="download: worker: unknown key; did you mean 'workers'"):
        step(
            "download", input={"videos": chain / "list.csv"}, output=[chain / "x.csv"],
            params={"config": {"worker": 2}, "store": str(chain / "raw")},
        )  # fmt: skip


def test_render(step, tmp_path):
    config = {"kind": "trimmed", "n_train": 5, "n_valid": 5, "seconds": [2.2, 2.4], "faults": False}
    step(
        "render",
        output=[tmp_path / "origin/annotations.json"],
        params={"config": config, "code": "c", "files": "first"},
        threads=2,
    )
    videos = read_annotations(tmp_path / "origin/annotations.json")
    assert [video.subset for video in videos] == ["training"] * 5 + ["validation"] * 5
