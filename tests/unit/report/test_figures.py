"""Figures: three files each, and the CSV holds what was drawn."""

import json

import pandas as pd
import pytest

from tsp.errors import TspError
from tsp.report import figures

RUNS = {"tac": "TAC", "tsp": "TSP", "no": "never run"}


def content(value, classes=("a", "b", "c")):
    per_class = {c: {"average_AP": value + n / 10} for n, c in enumerate(classes)}
    proposals = {"curve": [[1, value / 2], [2, value]]}
    scores = {"mAP": {"0.50": value + 0.1, "0.75": value}, "average_mAP": value}
    return {**scores, "per_class": per_class, "proposals": proposals}


SCORES = {
    ("e", "tac", 0): content(0.3),
    ("e", "tac", 1): content(0.32),
    ("e", "tsp", 0): content(0.35),
    ("f", "tsp", 1): content(0.9),
}


def drawn(path):
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    return pd.read_csv(path.with_suffix(".csv"))


def test_seed_dots(tmp_path):
    figures.seed_dots(SCORES, RUNS, tmp_path / "a.png", experiment="e", note="miniature")
    data = drawn(tmp_path / "a.png")
    assert data.run.tolist() == ["tac", "tac", "tsp"]
    assert data.average_mAP.tolist() == pytest.approx([30, 32, 35])


def test_map_curves(tmp_path):
    figures.map_curves(SCORES, RUNS, tmp_path / "a.png", experiment="e")
    data = drawn(tmp_path / "a.png")
    assert data[(data.run == "tsp")].mAP.tolist() == pytest.approx([45, 35])
    assert data.tiou.unique().tolist() == [0.5, 0.75]


def test_recall_curves(tmp_path):
    figures.recall_curves(SCORES, RUNS, tmp_path / "a.png", experiment="e")
    data = drawn(tmp_path / "a.png")
    assert data[(data.run == "tsp")].average_recall.tolist() == pytest.approx([17.5, 35])
    assert data.proposals_per_video.unique().tolist() == [1, 2]


def test_class_bars(tmp_path):
    figures.class_bars(SCORES, RUNS, tmp_path / "a.png", experiment="e", most=2)
    data = drawn(tmp_path / "a.png")
    assert data[data.run == "tac"].average_AP.tolist() == pytest.approx([31, 41, 51])


@pytest.mark.parametrize("draw", [figures.seed_dots, figures.map_curves, figures.recall_curves, figures.class_bars])
def test_no_results_are_told(tmp_path, draw):
    with pytest.raises(TspError, match="nothing to draw"):
        draw(SCORES, RUNS, tmp_path / "a.png", experiment="other")
    assert list(tmp_path.iterdir()) == []


def log(path, *records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records) + '[1]\nnull\n{"epoch": 1, "itera')
    return path


WINDOWS = [{"epoch": e, "iteration": 10 * e + i, "lr": {}, "train/action": 2.0} for e in (0, 1) for i in (5, 10)]
CLOSING = [
    {"epoch": e, "iteration": 10 * e + 10, "train/action": 9.0, "valid/avg_accuracy": 0.5, "valid/bad": None}
    for e in (0, 1)
]


def test_curves_of_a_log(tmp_path):
    curves = figures.read_curves(log(tmp_path / "log.jsonl", *WINDOWS, *CLOSING, {"epoch": 2}))
    assert curves == {
        ("train", "action"): [(0.5, 2.0), (1.0, 2.0), (1.5, 2.0), (2.0, 2.0)],
        ("valid", "avg_accuracy"): [(1.0, 0.5), (2.0, 0.5)],
    }


def test_curves_of_a_log_without_windows(tmp_path):
    curves = figures.read_curves(log(tmp_path / "log.jsonl", *CLOSING))
    assert curves["train", "action"] == [(1.0, 9.0), (2.0, 9.0)]


def test_training_curves_of_nothing_trained(tmp_path):
    figures.training_curves({}, tmp_path / "a.png")
    assert drawn(tmp_path / "a.png").empty


def test_training_curves(tmp_path):
    logs = {
        "TAC": log(tmp_path / "1.jsonl", *WINDOWS, *CLOSING),
        "TSP": log(tmp_path / "2.jsonl", *WINDOWS, *[{**r, "valid/region": 0.1} for r in CLOSING]),
    }
    figures.training_curves(logs, tmp_path / "a.png", note="miniature")
    data = drawn(tmp_path / "a.png")
    assert set(data.name) == {"action", "avg_accuracy", "region"}
    assert (data.run == "TSP").sum() == 4 + 2 + 2
    with pytest.raises(TspError, match="nothing to draw"):
        figures.training_curves({"TAC": log(tmp_path / "3.jsonl")}, tmp_path / "b.png")
