import argparse
import json
from pathlib import Path

import pytest
import torch

from tsp.encoders import build, weights
from tsp.encoders.video_resnet import r2plus1d_tiny
from tsp.errors import TspError
from tsp.io.files import sha256

FACTORY = "tsp.encoders.video_resnet:r2plus1d_tiny"


@pytest.fixture
def model():
    torch.manual_seed(1)
    return r2plus1d_tiny()


def full_state(model):
    state = {f"features.{name}": t for name, t in model.state_dict().items()}
    heads = {"fc1.weight": torch.ones(3, 64), "fc1.bias": torch.ones(3), "fc2.weight": torch.ones(2, 64)}
    return {**state, **heads}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_safetensors_round_trip_and_facts(tmp_path, model):
    path = tmp_path / "encoder.safetensors"
    weights.save_encoder(path, full_state(model), {"run": "tsp"})
    assert same(weights.load_state(path), full_state(model))
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["run"] == "tsp" and facts["sha256"] == sha256(path) and facts["producer"].startswith("tsp ")
    loaded = build.load_encoder(FACTORY, path)
    assert same(loaded.state_dict(), model.state_dict())


def test_shared_and_strided_tensors_are_stored(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    weights.save_encoder(tmp_path / "w.safetensors", {"a": base, "b": base.t()}, {})
    assert torch.equal(weights.load_state(tmp_path / "w.safetensors")["b"], base.t())


@pytest.mark.parametrize("legacy", [True, False])
def test_released_checkpoint_with_namespace_loads_without_unpickling(tmp_path, model, legacy):
    path = tmp_path / "released.pth"
    content = {"model": full_state(model), "epoch": 5, "args": argparse.Namespace(lr=0.1, names=["a"])}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert same(build.load_encoder(FACTORY, path).state_dict(), model.state_dict())


def test_kinetics_classifier_loads(tmp_path, model):
    path = tmp_path / "kinetics.pth"
    torch.save({**model.state_dict(), "fc.weight": torch.ones(400, 64), "fc.bias": torch.ones(400)}, path)
    assert same(build.load_encoder(r2plus1d_tiny, path).state_dict(), model.state_dict())


class Code:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"a": torch.ones(1)}, "args": Code()}, "plain tensors"),
        ({"epoch": 3}, "contains no state dict"),
        ([1, 2], "contains no state dict"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(TspError, match=message):
        weights.load_state(tmp_path / "other.pth")
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_damaged_and_missing_files_are_named(tmp_path, name):
    with pytest.raises(TspError, match=f"{name}: no such weights file"):
        weights.load_state(tmp_path / name)
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(TspError, match=f"{name}: not a "):
        weights.load_state(tmp_path / name)


def test_loading_is_strict(tmp_path, model):
    state = model.state_dict()
    missing = {k: v for k, v in state.items() if k != "stem.0.weight"}
    misshapen = {**state, "stem.0.weight": torch.ones(1)}
    for fault, text in [
        (missing, "'stem.0.weight' is missing"),
        ({**state, "extra": torch.ones(1)}, "'extra' is unexpected"),
        (misshapen, r"'stem.0.weight' has shape \(1,\), expected \(8, 3, 1, 7, 7\)"),
    ]:
        with pytest.raises(TspError, match=text):
            weights.load_strict(r2plus1d_tiny(), fault, "file")


def test_encoder_without_feature_dim_is_refused():
    with pytest.raises(TspError, match="feature_dim"):
        build.build_encoder(torch.nn.Identity)
