"""Tables: arithmetic over seeds, dashes, sources, and that the miniature is never set against the paper."""

import io
from dataclasses import replace

import pandas as pd
import pytest

from tsp.errors import TspError
from tsp.evaluation.captions import CAPTION_TIOUS
from tsp.report.config import ColumnConfig, DifferenceConfig, PublishedConfig, ReferenceConfig, RowConfig, TableConfig
from tsp.report.markup import read_fragment
from tsp.report.scores import metric_value
from tsp.report.tables import MINIATURE, build_table, fragment, markdown, write_table_files

CONFIG = TableConfig(
    title="A <table>",
    note="Read | this.",
    rows=[RowConfig(run="tac", label="TAC"), RowConfig(run="tsp", label="TSP"), RowConfig(run="no", label="never run")],
    columns=[
        ColumnConfig(experiment="e", metric="mAP@0.5", title="@0.5"),
        ColumnConfig(experiment="e", metric="average_mAP", title="average"),
    ],
    published=[
        PublishedConfig(
            run="tsp", experiment="e", metric="average_mAP", value=35.81, source="A list", certainty="recalled"
        ),
        PublishedConfig(run="no", experiment="e", metric="mAP@0.5", value=50.0, source="Paper", certainty="verified"),
    ],
    differences=[DifferenceConfig(title="TSP - TAC", minuend="tsp", subtrahend="tac")],
)


def content(value):
    return {"mAP": {"0.50": value + 0.1, "0.90": 0.01}, "average_mAP": value, "AR": {"100": 0.7}, "AUC": 60.0}


SCORES = {
    ("e", "tac", 0): content(0.34),
    ("e", "tac", 1): content(0.36),
    ("e", "tsp", 0): content(0.36),
    ("e", "tsp", 1): content(0.35),
    ("e", "tsp", 2): content(0.37),
    ("another", "tsp", 0): content(0.9),
}


def rows(table):
    """Cells of the last column by label, sub-lines behind the line they belong to."""
    found, head = {}, ""
    for line in table.lines:
        head = head if line.sub else line.label
        found[f"{head}: {line.label}" if line.sub else line.label] = line.cells[-1]
    return found


def test_mean_spread_seeds_and_published():
    found = rows(build_table(CONFIG, SCORES))
    assert found["TSP"] == "36.00 ± 1.00 (n=3)"
    assert found["TSP: seeds 0, 1, 2"] == "36.00 35.00 37.00"
    assert found["TSP: published"] == "35.81 [1]"
    assert found["TSP: ours − published"] == "+0.19"
    assert found["TAC: published"] == "—"
    assert "TAC: ours − published" not in found


def test_what_was_not_run_is_a_dash_beside_its_published_value():
    table = build_table(CONFIG, SCORES)
    lines = [line for line in table.lines if line.label == "never run"]
    assert lines[0].cells == ["—", "—"]
    assert build_table(CONFIG, {}).lines[-1].cells == ["—", "—"]
    assert table.lines[table.lines.index(lines[0]) + 1].cells == ["50.00 [2]", "—"]


def test_differences_are_paired_by_seed():
    table = build_table(CONFIG, SCORES)
    found = rows(table)
    assert found["TSP - TAC"] == "+0.50 ± 2.12 (n=2)"
    assert found["TSP - TAC: seeds 0, 1"] == "+2.00 −1.00"
    assert found["TSP - TAC: seeds positive"] == "1 of 2"
    said = "TSP - TAC, average: +0.50 ± 2.12 (n=2), 1 of 2 seeds positive, paired t-test p = 0.795."
    assert table.summary == [said]
    assert found["TSP - TAC: p, paired t-test"] == "0.795"
    assert "no p below 0.5 with 2 seeds" in markdown(table)
    assert build_table(CONFIG, {}).summary == ["TSP - TAC, average: not run."]


def test_no_difference_has_no_sign_and_is_not_positive():
    same = {("e", run, 0): content(0.3) for run in ("tac", "tsp")}
    found = rows(build_table(CONFIG, same))
    assert (found["TSP - TAC"], found["TSP - TAC: seeds positive"]) == ("0.00 (n=1)", "0 of 1")


def test_one_seed_has_no_spread_and_a_missing_seed_is_a_dash():
    scores = {("e", "tsp", 3): content(0.3)}
    assert rows(build_table(CONFIG, scores))["TSP"] == "30.00 (n=1)"
    columns = [*CONFIG.columns, ColumnConfig(experiment="f", metric="average_mAP", title="f")]
    table = build_table(replace(CONFIG, columns=columns), SCORES | {("f", "tsp", 1): content(0.2)})
    assert rows(table)["TSP: seeds 0, 1, 2"] == "— 20.00 —"


def test_the_miniature_says_so_and_shows_nothing_published():
    table = build_table(replace(CONFIG, miniature=True), SCORES)
    text, page = markdown(table), fragment(table)
    assert text.startswith("## [MINIATURE] A <table>")
    assert MINIATURE in text
    assert "published" not in text
    assert "miniature" in page.split("</h2>")[0]
    assert set(table.values["kind"]) == {"seed", "mean", "paired_seed", "paired_mean"}
    assert table.values["miniature"].all()


def test_rows_of_other_people_name_their_source():
    other = ReferenceConfig(
        label="OpenTAD", experiment="e", values={"average_mAP": 36.2}, source="README", certainty="second-hand"
    )
    table = build_table(replace(CONFIG, references=[other]), SCORES)
    assert (table.lines[-1].label, table.lines[-1].cells) == ("OpenTAD", ["—", "36.20 [3]"])
    assert "[3] second-hand: README" in markdown(table)
    row = table.values[table.values.kind == "reference"].iloc[0]
    assert (row.value, row.certainty) == (36.2, "second-hand")
    assert all(line.kind != "reference" for line in build_table(replace(CONFIG, miniature=True), SCORES).lines)
    with pytest.raises(TspError, match=r"references: e mAP@0\.75 is not a column"):
        replace(CONFIG, references=[replace(other, values={"mAP@0.75": 1.0})])


def errors(value):
    def buckets(name, last):
        return {"XS": {"instances": 3, name: value}, "XL": {"instances": 0, name: last}}

    sensitivity = {"average_mAP_N": value, "length": {"buckets": buckets("average_mAP_N", None), "min": value}}
    return {"sensitivity": sensitivity, "false_negatives": {"missed": 0.5, "length": buckets("missed", None)}}


def test_short_actions_come_from_the_error_analyses():
    scores = {**content(0.3), "errors": errors(0.2)}
    assert metric_value(scores, "length@XS", "x") == metric_value(scores, "missed_length@XS", "x") == 0.2
    assert metric_value(scores, "length@XL", "x") is None
    with pytest.raises(TspError, match="no metric 'length@XXL'"):
        metric_value(scores, "length@XXL", "x")
    columns = [ColumnConfig(experiment="e", metric=f"length@{size}", title=size) for size in ("XS", "XL")]
    table = build_table(replace(CONFIG, columns=columns, published=[]), {("e", "tsp", 0): scores})
    assert [line.cells for line in table.lines if line.label == "TSP"] == [["20.00 (n=1)", "—"]]


def test_captions_of_annotated_segments_state_their_protocol():
    columns = [
        ColumnConfig(experiment="e", metric="annotated_METEOR", title="METEOR"),
        ColumnConfig(experiment="e", metric="annotated_tiou50_METEOR", title="METEOR@0.5"),
    ]
    scores = {("e", "tac", 0): {"annotated_METEOR": 0.109, "annotated_tiou50_METEOR": 0.1071}}
    table = build_table(replace(CONFIG, columns=columns, published=[], differences=[]), scores)
    assert table.lines[0].cells == ["10.90 (n=1)", "10.71 (n=1)"]
    shown = markdown(table)
    assert f" METEOR: mean over tIoU {', '.join(map(str, CAPTION_TIOUS[:-1]))} and {CAPTION_TIOUS[-1]}, as in" in shown
    assert " METEOR@0.5: scored at tIoU 0.5 alone, as in the TSP authors' script." in shown
    one = markdown(build_table(replace(CONFIG, columns=columns[:1], published=[], differences=[]), scores))
    assert "tIoU 0.5 alone" not in one
    assert "annotated" not in markdown(build_table(CONFIG, SCORES))


def test_markdown_is_aligned_and_states_sources():
    text = markdown(build_table(CONFIG, SCORES))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    assert "[1] recalled: A list" in text
    assert "[2] verified: Paper" in text


def test_the_three_files(tmp_path):
    table = build_table(CONFIG, SCORES)
    paths = [tmp_path / f"t.{kind}" for kind in ("csv", "md", "html")]
    write_table_files(table, *paths)
    values = pd.read_csv(io.StringIO(paths[0].read_text()))
    assert len(values) == 3 * 2 + 2 * 2 + 3 * 2 + 2 + 1 + 2 * 2 + 2
    mean = values[(values.kind == "mean") & (values.run == "tsp") & (values.metric == "average_mAP")].iloc[0]
    assert (mean.value, mean.sd, mean.n) == pytest.approx((36, 1, 3))
    paired = values[(values.kind == "paired_mean") & (values.metric == "average_mAP")].iloc[0]
    assert (paired.subtrahend, paired.n_positive) == ("tac", 1)
    missing = values[(values.kind == "mean") & (values.run == "no")]
    assert missing.value.isna().all()
    assert set(values.certainty.dropna()) == {"recalled", "verified"}
    page = paths[2].read_text()
    assert "A &lt;table&gt;" in page
    assert "<sup>[1]</sup>" in page
    assert read_fragment(paths[2]) == fragment(table)
    with pytest.raises(TspError, match="not a page with a table"):
        read_fragment(paths[1])


@pytest.mark.parametrize(
    ("metric", "value"), [("mAP@0.5", 0.4), ("mAP@0.50", 0.4), ("mAP@0.9", 0.01), ("AR@100", 0.7), ("AUC", 60)]
)
def test_metrics(metric, value):
    assert metric_value(content(0.3), metric, "x") == pytest.approx(value)


@pytest.mark.parametrize("metric", ["mAP@0.55", "mAP", "mAP@x", "AR@7", "nothing", "nothing@1"])
def test_an_unknown_metric_is_refused_with_what_there_is(metric):
    with pytest.raises(TspError, match=r"scores of z: no metric .*average_mAP, AUC, mAP@0.50, mAP@0.90, AR@100"):
        metric_value(content(0.3), metric, "scores of z")


def test_outdated_encoders_are_named_below_the_table():
    outdated = {"tsp": ["code of tsp.pretrain.model", "run.trainer.weight_decay (0.1, now 0.2)"], "tac": []}
    table = build_table(CONFIG, SCORES, outdated)
    line = "Outdated encoder tsp: code of tsp.pretrain.model; run.trainer.weight_decay (0.1, now 0.2)."
    assert markdown(table).endswith(f"**{line}**\n")
    assert line in fragment(table)
    assert "Outdated" not in markdown(build_table(CONFIG, SCORES, {"tac": []}))


def test_warnings_of_trainings_are_stated_once_below_the_table():
    scores = {cell: {**content, "warnings": ["no frames"]} for cell, content in SCORES.items()}
    found = build_table(CONFIG, scores)
    assert found.warnings == ["e: no frames."]
    assert markdown(found).endswith("**e: no frames.**\n")
    assert "e: no frames." in fragment(found)
