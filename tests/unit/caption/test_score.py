"""Which captions are scored against which references; without Java."""

from contextlib import nullcontext

import pytest

from tsp.caption import score as scoring
from tsp.report.scores import metric_value


class Result:
    def __init__(self, value):
        self.value = value

    def average(self, metric):
        return self.value / (2 if metric.startswith("BLEU") else 1)

    def at(self, metric, tiou):
        assert tiou == 0.5
        return self.average(metric) / 10


def test_learned_against_all_annotated_each_against_its_own(monkeypatch, tmp_path):
    calls = []

    def caption_scores(references, predictions, *, only, meteor):
        assert meteor == "running"
        calls.append((list(references), predictions, only))
        return Result({"learned": 0.1, "a0": 0.2, "a1": 0.6}[predictions])

    monkeypatch.setattr(scoring, "Meteor", lambda: nullcontext("running"))
    monkeypatch.setattr(scoring, "caption_scores", caption_scores)
    monkeypatch.setattr(scoring, "scores_json", lambda result: {"value": result.value})
    listed = tmp_path / "available.txt"
    listed.write_text("v_a\nv_b\n")
    found = scoring.score("learned", ["a0", "a1"], ["r0", "r1"], listed)
    only = {"v_a", "v_b"}
    assert calls == [(["r0", "r1"], "learned", only), (["r0"], "a0", only), (["r1"], "a1", only)]
    # As a table looks them up.
    assert metric_value(found, "METEOR", "x") == 0.1
    assert metric_value(found, "BLEU@3", "x") == 0.05
    assert metric_value(found, "annotated_METEOR", "x") == pytest.approx(0.4)
    assert metric_value(found, "annotated_BLEU@4", "x") == pytest.approx(0.2)
    assert metric_value(found, "annotated_tiou50_METEOR", "x") == pytest.approx(0.04)
    assert metric_value(found, "annotated_tiou50_BLEU@4", "x") == pytest.approx(0.02)
    assert metric_value(found, "F1", "x") == 0.1
    assert found["annotated"] == [{"value": 0.2}, {"value": 0.6}]
