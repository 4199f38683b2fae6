"""Error analyses of several seeds in the report."""

import pytest

from tsp.report.errors import analyses_of, bucket_rows, draw_all, mean_of


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


def csv_of(folder, stem, values):
    lines = [f"{run},{name},{size},{n},{v}" for run, name, size, n, v in values]
    (folder / f"{stem}.csv").write_text("\n".join(["run,characteristic,bucket,instances,percent", *lines]) + "\n")


def test_buckets_as_rows_of_the_report(tmp_path):
    def values(shift):
        for run, gain in (("TAC", 0.0), ("TSP", 5.5)):
            yield run, "length", "XS", 7, 10 + gain + shift
            yield run, "length", "XL", 0, ""
            yield run, "instances", "XS", 7, 1
            yield run, "all", "", "", 20 - gain + shift

    csv_of(tmp_path, "sensitivity", values(0))
    csv_of(tmp_path, "false_negatives", values(30))
    header, *rows = bucket_rows(tmp_path)
    assert header == [
        "bucket",
        "instances",
        "mAP_N: TAC",
        "mAP_N: TSP",
        "mAP_N: TSP − TAC",
        "missed: TAC",
        "missed: TSP",
    ]
    assert rows == [
        ["Length XS", "7", "10.00", "15.50", "+5.50", "40.00", "45.50"],
        ["Length XL", "0", "—", "—", "—", "—", "—"],
        ["All actions", "", "20.00", "14.50", "−5.50", "50.00", "44.50"],
    ]


def test_no_rows_where_no_errors_were_analysed(tmp_path):
    draw_all({}, tmp_path)
    assert bucket_rows(tmp_path) == []
