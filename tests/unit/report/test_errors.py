"""Error analyses of several seeds in the report."""

import pytest

from tsp.report.errors import analyses_of, draw_all, mean_of


def test_mean_number_by_number():
    one = {"a": 1.0, "n": 4, "b": [{"x": 0.5, "y": None}], "name": "z"}
    other = {"a": 3.0, "n": 4, "b": [{"x": 0.0, "y": 2.0}], "name": "z"}
    assert mean_of([one, other]) == {"a": 2.0, "n": 4, "b": [{"x": 0.25, "y": None}], "name": "z"}


def test_runs_with_unknown_durations_are_left_out():
    scores = {("e", "tac", 0): {"errors": {"x": 1.0}}, ("e", "tac", 1): {"errors": {"x": 2.0}}}
    scores |= {("e", "tsp", 0): {"errors": None}, ("f", "tac", 2): {"errors": {"x": 9.0}}}
    assert analyses_of(scores, {"tac": "TAC", "tsp": "TSP", "no": "none"}, "e") == {"TAC": {"x": pytest.approx(1.5)}}


def test_without_analyses_the_figures_say_so(tmp_path):
    draw_all({}, tmp_path)
    found = sorted(path.name for path in tmp_path.glob("*.pdf"))
    assert found == ["false_negatives.pdf", "false_positives.pdf", "sensitivity.pdf"]
    assert (tmp_path / "sensitivity.csv").read_text().splitlines() == ["run,percent"]
