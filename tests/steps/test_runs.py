"""Step scripts around runs, experiments, features and tables."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from unit.localise.make import METHODS, infer, make_set, train

from tsp.config.experiments import read_experiment
from tsp.config.load import read_config, write_config
from tsp.config.resolved import ResolvedRun
from tsp.errors import TspError
from tsp.io.annotations import write_annotations
from tsp.io.features import FeatureFile, feature_writer
from tsp.io.predictions import write_predictions
from tsp.types import Segment, Video

FACTS = {"stride": 16, "fps": 15, "clip_length": 16, "encoder": "x", "weights_sha256": "0"}
RUN = {
    "run": {"dataset": "d", "encoder": "e", "heads": ["action", "region"], "gvf": "max", "start": "s"},
    "encoder": {"factory": "tsp.encoders.video_resnet:r2plus1d_18"},
}


def test_resolve_run_fills_in_every_default(step, tmp_path):
    step("resolve_run", output=[tmp_path / "c.yaml"], params={"entry": RUN}, wildcards={"run": "mine"})
    resolved = read_config(tmp_path / "c.yaml", ResolvedRun)
    assert resolved.name == "mine"
    assert resolved.run.gvf == "max"
    assert tuple(resolved.encoder.resize) == (128, 171)


def test_resolve_run_refuses_a_misspelt_key(step, tmp_path):
    entry = {**RUN, "run": {**RUN["run"], "gvff": "max"}}
    with pytest.raises(TspError, match=r"runs\.mine: run\.gvff: unknown key; did you mean 'gvf'"):
        step("resolve_run", output=[tmp_path / "c.yaml"], params={"entry": entry}, wildcards={"run": "mine"})


def test_resolve_experiment(step, tmp_path):
    entry = {
        "method": "tsp.localise.gtad",
        "dataset": "d",
        "labels": "mine",
        "settings": {"length": 48, "durations": 24},
    }
    output = tmp_path / "c.yaml"
    step("resolve_experiment", output=[output], params={"entry": entry}, wildcards={"experiment": "g"})
    method, config = read_experiment(output)
    assert method.__name__ == "tsp.localise.gtad"
    assert config.length == 48


@pytest.mark.parametrize(
    ("method", "refines", "said"),
    [
        ("tsp.localise.pgcn", None, "refines: tsp.localise.pgcn refines proposals: state an experiment"),
        ("tsp.localise.gtad", {"experiment": "b"}, "refines: tsp.localise.gtad refines no proposals"),
    ],
)
def test_resolve_experiment_refuses_proposals_that_no_one_refines(step, tmp_path, method, refines, said):
    entry = {"method": method, "dataset": "d", "labels": "mine"} | ({"refines": refines} if refines else {})
    with pytest.raises(TspError, match=said):
        step("resolve_experiment", output=[tmp_path / "c.yaml"], params={"entry": entry}, wildcards={"experiment": "g"})


def test_changes_of_a_source_are_of_post_processing_alone(step, tmp_path):
    entry = {"method": "tsp.localise.bmn", "dataset": "d", "labels": "mine"}
    output = tmp_path / "c.yaml"
    step("resolve_experiment", output=[output], params={"entry": entry}, wildcards={"experiment": "b"})
    assert read_experiment(output, {"candidates": "peaks"})[1].candidates == "peaks"
    with pytest.raises(TspError, match=r"refines\.settings: 'length' is no option of post-processing"):
        read_experiment(output, {"length": 50})


def test_proposals_of_a_file_are_listed(step, tmp_path):
    action = Segment(start_s=2.0, end_s=4.0, label="a")
    video = Video(name="v", filename="v.mp4", subset="training", duration_s=10.0, segments=(action,))
    write_annotations(tmp_path / "annotations.json", [video])
    write_predictions(tmp_path / "p.json", {"v": [{"segment": [2.0, 4.5], "score": 0.5}]}, version="x")
    step(
        "list_predictions",
        input={"predictions": tmp_path / "p.json", "annotations": tmp_path / "annotations.json", "metadata": []},
        output=[tmp_path / "list.txt"],
        params={"subset": "training", "keep": 10},
    )
    lines = (tmp_path / "list.txt").read_text().splitlines()
    assert lines == ["# 0", "v", "10.0", "30.0", "1", "1 60 120", "1", "1 0.8000 0.8000 60 135"]


def test_merge_features_and_gvf(step, tmp_path):
    shards = [tmp_path / "0.h5", tmp_path / "1.h5"]
    for number, path in enumerate(shards):
        with feature_writer(path, FACTS) as writer:
            writer.write(f"v{number}", np.array([[number, 5.0], [3.0, 1.0]]))
    step("merge_features", input={"shards": shards}, output=[tmp_path / "all.h5"])
    step("gvf", input={"features": [tmp_path / "all.h5"]}, output=[tmp_path / "gvf.h5"], wildcards={"pool": "max"})
    with FeatureFile(tmp_path / "gvf.h5") as file:
        assert {name: file[name].tolist() for name in file} == {"v0": [3.0, 5.0], "v1": [3.0, 5.0]}


def test_table(step, tmp_path):
    (tmp_path / "scores.json").write_text(json.dumps({"mAP": {"0.50": 0.25}, "average_mAP": 0.125}))
    entry = {
        "title": "T",
        "rows": [{"run": "mine", "label": "Mine"}],
        "columns": [{"experiment": "g", "metric": "average_mAP", "title": "average"}],
    }
    output = {kind: tmp_path / f"t.{kind}" for kind in ("csv", "md", "html")}
    params = {"entry": entry, "cells": [("g", "mine", 0)]}
    step("table", input={"scores": [tmp_path / "scores.json"]}, output=output, params=params)
    assert "12.50" in output["md"].read_text()


def test_fetch_weights_needs_an_address_or_a_path(step, tmp_path):
    (tmp_path / "w.pth").write_bytes(b"weights")
    wrong = {"url": None, "path": str(tmp_path / "w.pth"), "digest": "00000000"}
    with pytest.raises(TspError, match="00000000"):
        step("fetch_weights", output=[tmp_path / "out.pth"], params={"source": wrong})
    assert not (tmp_path / "out.pth").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Inputs of the steps after the inference of a small G-TAD, named as in the rules."""
    method, config = METHODS["gtad"]
    folder = tmp_path_factory.mktemp("trained")
    make_set(folder)
    train(method, config, folder, folder)
    infer(method, config, folder, folder / "weights.safetensors", folder / "raw.h5")
    entry = {"method": method.__name__, "dataset": "d", "labels": "l", "settings": asdict(config)}
    write_config(folder / "c.yaml", {"name": "e", "experiment": entry})
    files = {"raw": "raw.h5", "annotations": "annotations.json", "labels": "labels.json", "config": "c.yaml"}
    return {name: folder / file for name, file in files.items()}


def test_detections_and_proposals_are_scored_together(step, trained, tmp_path):
    made = {name: tmp_path / f"{name}.json" for name in ("predictions", "proposals")}
    params = {"subsets": {"valid": "validation"}, "tious": [0.3, 0.5], "buckets": "miniature"}
    step("post_process", input=trained, output=made, params=params)
    facts = trained["annotations"].with_name("weights.json")
    files = {**made, "annotations": trained["annotations"], "facts": facts}
    step("evaluate", input=files, output=[tmp_path / "scores.json"], params=params)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert list(scores["mAP"]) == ["0.30", "0.50"]
    # Tables state the warnings of the training.
    assert scores["warnings"] == json.loads(facts.read_text())["warnings"]
    assert "8 of 8 training and 4 of 4 validation videos" in scores["warnings"][0]
    assert set(scores["errors"]["sensitivity"]) == {"average_mAP_N", "coverage", "length", "instances"}
    assert scores["proposals"]["AR"]["1"] < scores["proposals"]["AR"]["100"] <= 1


def test_sweep(step, trained, tmp_path):
    output = {kind: tmp_path / f"sweep.{kind}" for kind in ("csv", "md")}
    params = {"grid": {"nms_keep": [1, 50]}, "subsets": {"valid": "validation"}, "tious": [0.3, 0.5]}
    step("sweep", input=trained, output=output, params=params)
    assert [line.split(",")[0] for line in output["csv"].read_text().splitlines()] == ["nms_keep", "1", "50"]
    with pytest.raises(TspError, match="'hidden_1d' is not an option of the post-processing"):
        step("sweep", input=trained, output=output, params={**params, "grid": {"hidden_1d": [8]}})
