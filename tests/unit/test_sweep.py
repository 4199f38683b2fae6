"""Options of post-processing tried on raw predictions."""

from dataclasses import asdict, replace

import pandas as pd
import pytest
import yaml
from unit.localise.make import METHODS, WINDOWS, detect, infer, make_set, propose, train

from tsp.cli import main
from tsp.cli.sweep import parse_grid
from tsp.errors import TspError
from tsp.evaluation.detection import detection_map
from tsp.evaluation.proposals import proposal_recall
from tsp.sweep import Inputs, markdown, sweep


@pytest.fixture(scope="module", params=["gtad", "bmn"])
def trained(request, tmp_path_factory):
    """The files of one training, laid out as the workflow does, and its method and settings."""
    method, config = METHODS[request.param]
    folder = tmp_path_factory.mktemp("sweep")
    make_set(folder)
    experiment = folder / "experiments/e"
    seed = experiment / "run/seed0"
    train(method, config, folder, seed)
    infer(method, config, folder, seed / "weights.safetensors", seed / "raw.h5")
    entry = {"method": method.__name__, "dataset": "d", "labels": "l", "settings": asdict(config)}
    (experiment / "config.yaml").write_text(yaml.safe_dump(plain({"name": "e", "experiment": entry})))
    return folder, seed / "raw.h5", method, config


def plain(value):
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def inputs(trained):
    folder, raw, *_ = trained
    config = raw.parents[2] / "config.yaml"
    files = {"annotations": folder / "annotations.json", "labels": folder / "labels.json"}
    return Inputs(config=config, raw=raw, subset="validation", **files)


def test_every_combination_scores_as_post_processing_by_itself(trained, tmp_path):
    folder, raw, method, config = trained
    found = sweep(inputs(trained), {"nms_keep": [2, 50], "end_at_border": [False, True]})
    table = found.table
    assert table[["nms_keep", "end_at_border"]].values.tolist() == [[2, False], [2, True], [50, False], [50, True]]
    assert table["AR@100"].nunique() > 1
    truth = folder / "annotations.json"
    alone = replace(config, nms_keep=2, end_at_border=True)
    detect(method, alone, folder, raw, tmp_path / "d.json")
    propose(method, alone, folder, raw, tmp_path / "p.json")
    expected = detection_map(truth, tmp_path / "d.json")
    recall = proposal_recall(truth, tmp_path / "p.json")
    assert table["average_mAP"][1] == pytest.approx(100 * expected.average_map)
    assert table["mAP@0.50"][1] == pytest.approx(100 * expected.mean_ap[0])
    assert table["AUC"][1] == pytest.approx(recall.auc)
    assert table["AR@10"][1] == pytest.approx(100 * recall.average_recall[9])


def test_best_of_each_score_is_bold(trained):
    lines = markdown(sweep(inputs(trained), {"nms_keep": [1, 50]}))
    assert lines[0].startswith("| nms_keep | average_mAP | mAP@0.50 |")
    assert len(lines) == 4
    for column in range(1, lines[0].count("|") - 1):
        assert any(line.split("|")[column + 1].strip().startswith("**") for line in lines[2:])


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"lr": [0.1]}, "'lr' is not an option of the post-processing of tsp.localise"),
        ({"windows.longest_frames": [300]}, "this experiment has no windows"),
        ({"nms_keep": ["many"]}, "nms_keep=many"),
        ({"nms_keep": []}, "no values"),
        ({}, "nothing to sweep"),
    ],
)
def test_what_cannot_be_swept(trained, grid, message):
    with pytest.raises(TspError, match=message):
        sweep(inputs(trained), grid)


def test_command(trained, tmp_path, capsys):
    folder, raw, *_ = trained
    arguments = [
        "sweep",
        "--raw",
        str(raw),
        "--annotations",
        str(folder / "annotations.json"),
        "--subset",
        "validation",
    ]
    arguments += ["--labels", str(folder / "labels.json"), "--set", "nms_keep=5,6", "--tiou", "0.3,0.5"]
    assert main([*arguments, "--output", str(tmp_path / "s.csv")]) == 0
    table = pd.read_csv(tmp_path / "s.csv")
    assert table["nms_keep"].tolist() == [5, 6]
    assert {"average_mAP", "mAP@0.30", "mAP@0.50", "AUC", "AR@100"} <= set(table.columns)
    assert capsys.readouterr().out == (tmp_path / "s.md").read_text()


def test_values_are_yaml():
    grid = parse_grid(["a=0.5,0.9", "b=[0.5, 0.9],null", "c=true,peaks"])
    assert grid == {"a": [0.5, 0.9], "b": [[0.5, 0.9], None], "c": [True, "peaks"]}


@pytest.mark.parametrize("wrong", [["a"], ["=1"], ["a="], ["a=[1"], ["a=1", "a=2"]])
def test_settings_of_another_form(wrong):
    with pytest.raises(TspError, match="--set"):
        parse_grid(wrong)


def test_parts_of_the_windows_can_be_swept(tmp_path):
    method, config = METHODS["gtad"]
    make_set(tmp_path)
    config = replace(config, windows=replace(WINDOWS, fps=10.0))
    seed = tmp_path / "e/r/s"
    train(method, config, tmp_path, seed)
    infer(method, config, tmp_path, seed / "weights.safetensors", seed / "raw.h5")
    entry = {"method": method.__name__, "dataset": "d", "labels": "l", "settings": asdict(config)}
    (tmp_path / "e/config.yaml").write_text(yaml.safe_dump(plain({"name": "e", "experiment": entry})))
    found = sweep(inputs((tmp_path, seed / "raw.h5")), {"windows.longest_frames": [20, None]})
    assert found.table["AR@100"][1] > found.table["AR@100"][0]
