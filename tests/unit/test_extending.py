"""docs/extending.md, executed: its data set, its encoder, its method."""

import re
import sys

import pytest
import torch
import yaml
from unit.localise.make import SUBSETS, detect, infer, make_set, propose, train

from tsp.config.check import check_settings
from tsp.config.experiments import resolve_experiment
from tsp.config.load import ROOT, merge, read_folder
from tsp.datasets.config import DatasetConfig
from tsp.encoders.build import build_encoder
from tsp.evaluation.detection import detection_map
from tsp.evaluation.proposals import proposal_recall
from tsp.resolve import resolve

BLOCK = re.compile(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", re.DOTALL)


@pytest.fixture
def blocks(tmp_path, monkeypatch):
    """The page's files, importable."""
    found = dict(BLOCK.findall((ROOT / "docs/extending.md").read_text()))
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield {name: yaml.safe_load(text) for name, text in found.items() if name.endswith(".yaml")}
    for name in found:
        sys.modules.pop(name.removesuffix(".py"), None)


def with_overlay(overlay):
    values, files = read_folder()
    return check_settings(merge(values, overlay), files)


def test_data_set(blocks, tmp_path):
    (tmp_path / "mine.csv").write_text("video,start,end,label,subset\na,1.5,4,dive,training\na,6,8,run,training\n")
    dataset = with_overlay(blocks["my_data.yaml"]).datasets["mine"]
    assert isinstance(dataset, DatasetConfig)
    videos = resolve(dataset.reader)([tmp_path / name for name in dataset.annotations])
    assert [(v.name, v.subset, len(v.segments), v.segments[0].start_s) for v in videos] == [("a", "training", 2, 1.5)]


def test_encoder(blocks):
    settings = with_overlay(blocks["my_encoder.yaml"])
    network = build_encoder(settings.encoders["r3d_10"].factory)
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 4, 32, 32)).shape == (1, network.feature_dim)
    assert settings.runs["untrained_r3d_10"].encoder == "r3d_10"


def test_method(blocks, tmp_path):
    settings = with_overlay(blocks["my_method.yaml"])
    assert settings.tables["windows"].columns[0].experiment == "windows_synthetic"
    resolved = resolve_experiment("windows_synthetic", blocks["my_method.yaml"]["experiments"]["windows_synthetic"])
    method = resolve(resolved.experiment.method)
    config = method.Config(lengths=(4, 6, 8, 12))
    make_set(tmp_path)
    train(method, config, tmp_path, tmp_path)
    infer(method, config, tmp_path, tmp_path / "weights.safetensors", tmp_path / "raw.h5")
    detect(method, config, tmp_path, tmp_path / "raw.h5", tmp_path / "predictions.json")
    propose(method, config, tmp_path, tmp_path / "raw.h5", tmp_path / "proposals.json")
    truth, subset = tmp_path / "annotations.json", SUBSETS["valid"]
    assert detection_map(truth, tmp_path / "predictions.json", subset, (0.3, 0.5)).average_map > 0.5
    assert proposal_recall(truth, tmp_path / "proposals.json", subset).auc > 30
