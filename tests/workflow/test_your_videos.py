"""docs/your_videos.md, executed: its two overlays on five generated videos, the encoder a tiny one."""

import json
import re

import numpy as np
import pytest
import yaml

from tsp.config.load import merge, write_config
from tsp.datasets.rendering import render
from tsp.datasets.synthetic import SyntheticConfig
from tsp.io.annotations import read_annotations
from tsp.io.features import FeatureFile
from tsp.io.files import read_json


@pytest.fixture(scope="module")
def overlays(repository):
    """The YAML blocks of the page, by the file name in their first line."""
    text = (repository / "docs/your_videos.md").read_text()
    blocks = re.findall(r"```yaml\n# (\S+)\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in blocks] == ["mine.yaml", "labelled.yaml"]
    return {name: yaml.safe_load(block) for name, block in blocks}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`my_videos/` with six rendered videos and `segments.csv` in the page's form."""
    folder = tmp_path_factory.mktemp("mine")
    config = SyntheticConfig(kind="untrimmed", n_train=5, n_valid=5, faults=False)
    render(config, folder / "my_videos", folder / "annotations.json", workers=2)
    videos = read_annotations(folder / "annotations.json")
    lines = ["video,t-start,t-end,label,subset"]
    for video in videos:
        subset = {"training": "train", "validation": "valid"}[video.subset]
        name = video.source.rsplit("/", 1)[-1]
        # Two classes are enough: the page's.
        lines += [
            f"{name},{s.start_s},{s.end_s},{'dive' if k % 2 else 'run'},{subset}" for k, s in enumerate(video.segments)
        ]
    (folder / "segments.csv").write_text("\n".join(lines) + "\n")
    return folder


def small(overlay, run):
    """The page's overlay with a tiny encoder in place of the released one, and little training."""
    text = json.dumps(overlay).replace("kinetics_r2plus1d_18", run)
    values = json.loads(text)
    tiny = {"runs": {run: {"encoder": "r2plus1d_tiny"}}}
    if "runs" in values:
        tiny["runs"]["my_tsp"] = {
            "encoder": "r2plus1d_tiny",
            "clips_per_segment": 1,
            "trainer": {"epochs": 1, "batch_size": 8, "milestones": []},
        }
    return merge(values, tiny)


def test_features_of_a_directory(snakemake, overlays, folder):
    write_config(folder / "mine.yaml", small(overlays["mine.yaml"], "tiny_start"))
    done = snakemake(folder, "--configfile", folder / "mine.yaml", "--", "features")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with FeatureFile(folder / "results/features/tiny_start/stride16/my_videos-all.h5") as file:
        assert len(file.names) == 10
        assert all(len(file[name]) > 1 for name in file.names)


def test_pretraining_on_own_segments(snakemake, overlays, folder):
    write_config(folder / "labelled.yaml", small(overlays["labelled.yaml"], "tiny_start"))
    scores = "results/labels/my_tsp/stride16/my_videos-valid.json"
    done = snakemake(folder, "--configfile", folder / "labelled.yaml", "--", "features", scores)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = read_json(folder / scores)
    assert found["class"] == ["dive", "run"]
    assert len(found["results"]) == 5
    np.testing.assert_allclose([sum(row) for row in found["results"].values()], 1.0, atol=1e-5)
    facts = read_json(folder / "results/pretrain/my_tsp/encoder.json")
    assert facts["run"]["gvf"] == "max"
