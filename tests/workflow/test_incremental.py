"""New videos at the end of the annotations: their own shard is made, and what depends on it; no other shard."""

import json

import pytest
from unit.video.make import write_video

from tsp.io.features import FeatureFile

RUN = "tiny_start"
FEATURES = f"results/features/{RUN}/stride16/mine-all"


def overlay(shards):
    return f"""
build: {{tables: [], ablations: [], captions: [], features: [{RUN}/stride16/mine-all]}}
datasets:
  mine:
    reader: tsp.datasets.synthetic:read
    annotations: [raw.json]
    subsets: {{all: {{official: all, shards: {shards}}}}}
    train: all
    valid: all
    shard_size: 2
    labels: [run]
    standardise: {{shrink: [28, 32]}}
runs:
  {RUN}: {{encoder: r2plus1d_tiny}}
"""


def annotate(folder, names):
    entries = {}
    for name in names:
        video = folder / f"origin/{name}.mp4"
        if not video.exists():
            write_video(video, 40)
        entries[name] = {"subset": "all", "duration": 1.3, "source": str(video), "annotations": []}
    (folder / "raw.json").write_text(json.dumps({"version": "1", "taxonomy": [], "database": entries}))


def planned(done):
    """(rule, shard or none) of each job of a dry run."""
    assert done.returncode == 0, done.stdout + done.stderr
    found, rule = set(), ""
    for line in (done.stdout + done.stderr).splitlines():
        if line.startswith(("rule ", "localrule ")):
            rule = line.split()[1].rstrip(":")
            found.add(rule)
        elif "wildcards:" in line and "shard=" in line:
            found.remove(rule)
            found.add((rule, int(line.split("shard=")[1].split(",")[0])))
    return found


@pytest.fixture(scope="module")
def folder(snakemake, tmp_path_factory):
    """Four videos in two shards, their features made."""
    folder = tmp_path_factory.mktemp("grow")
    (folder / "origin").mkdir()
    annotate(folder, "abcd")
    (folder / "mine.yaml").write_text(overlay(2))
    done = snakemake(folder, "--configfile", folder / "mine.yaml", "--", f"{FEATURES}.h5")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def test_a_third_shard_is_made_alone(snakemake, folder):
    arguments = ("--configfile", folder / "mine.yaml", "--", f"{FEATURES}.h5")
    assert "Nothing to be done" in snakemake(folder, "--dry-run", *arguments).stdout
    shards = [FeatureFile(folder / f"{FEATURES}.{k}.h5").attributes for k in range(2)]
    times = [(folder / f"{FEATURES}.{k}.h5").stat().st_mtime_ns for k in range(2)]

    annotate(folder, "abcdef")
    (folder / "mine.yaml").write_text(overlay(3))
    jobs = planned(snakemake(folder, "--dry-run", *arguments))
    # The shard that was the last one is listed anew, since it might have held more; it comes out as it was.
    new = {(rule, 2) for rule in ("video_list", "download", "standardise", "probe", "extract_features")}
    assert new <= jobs
    assert not {job for job in jobs if isinstance(job, tuple) and job[1] == 0}
    assert {job for job in jobs if isinstance(job, str)} <= {
        *("annotations", "metadata", "merge_features", "all"),
    }

    done = snakemake(folder, *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with FeatureFile(folder / f"{FEATURES}.h5") as file:
        assert file.names == list("abcdef")
    assert (folder / f"{FEATURES}.0.h5").stat().st_mtime_ns == times[0]
    assert FeatureFile(folder / f"{FEATURES}.0.h5").attributes == shards[0]


def test_a_longer_last_shard_is_made_alone(snakemake, folder):
    arguments = ("--configfile", folder / "mine.yaml", "--", f"{FEATURES}.h5")
    annotate(folder, "abcdefg")
    jobs = planned(snakemake(folder, "--dry-run", *arguments))
    assert {job[1] for job in jobs if isinstance(job, tuple)} == {2}
