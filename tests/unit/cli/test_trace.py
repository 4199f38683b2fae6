"""`tsp trace`: the tree as narrow text, JSON, one-line errors."""

import json

import pytest
from unit.plan.results_tree import ENTRY, TOOLS, Tree

from tsp.cli import main
from tsp.cli.trace import SOURCES, WIDTH


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Tree(tmp_path)


def lines(capsys, *arguments):
    assert main(["trace", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_text_of_a_small_tree(tree, capsys):
    tree.write("data/a.json", "{}")
    entry = {"method": "tsp.localise.bmn", "dataset": "set", "stride": 16, "settings": {"lr": 0.5}}
    wildcards, later = {"experiment": "e"}, "2026-11-26T03:00:00+00:00"
    config = tree.output("results/c.yaml", "resolve_experiment", wildcards=wildcards, params={"entry": entry})
    made = tree.output("results/b.json", "annotations", ["data/a.json"], tools={"python": "3.12.1"}, seconds=0.25)
    raw = tree.output("results/raw.h5", "infer_localiser", [config, made], kept=True)
    path = tree.output(
        "results/top.json", "evaluate", [raw, config], overrides=["resume=anyway"], seconds=7300, started=later
    )
    tree.write("results/b.json", "edited")
    assert lines(capsys, path) == [
        "results/top.json  bdab7525  16 B",
        "│ evaluate",
        "│ 2026-11-26 03:00:00 on node7 in 2.0 h; code 0123456789ab; tsp 0.1.0",
        "│ with python 3.11.2, torch 2.6.0",
        "│ overrides: resume=anyway",
        "├─results/c.yaml  640aeb6b  14 B  [1]",
        "│   resolve_experiment: experiment e",
        "│   2026-11-26 00:12:40 on node7 in 1.5 min; code 0123456789ab; tsp 0.1.0",
        "│   · method: tsp.localise.bmn",
        "│   · dataset: set",
        "│   · settings.lr: 0.5 (default 0.0005)",
        "└─results/raw.h5  771ea435  14 B",
        "  │ infer_localiser",
        "  │ 2026-11-26 00:12:40 on node7 in 1.5 min; code 0123456789ab; tsp 0.1.0",
        "  │ kept: an earlier output with equal code, settings and inputs was put back",
        "  ├─results/b.json  0db8e9ca  6 B  CHANGED SINCE: now 1fb9f409",
        "  │ │ annotations",
        "  │ │ 2026-11-26 00:12:40 on node7 in 0.2 s; code 0123456789ab; tsp 0.1.0",
        "  │ │ with python 3.12.1",
        "  │ └─data/a.json  44136fa3  2 B",
        "  │     source",
        "  └─results/c.yaml  640aeb6b  14 B  see [1]",
        "",
        "4 files, 4 steps, 1 source, 1 changed since, 2.1 h of work; 2026-11-26 00:12 to 2026-11-26 03:00",
    ]


def test_all_settings_has_the_defaults(tree, capsys):
    path = tree.table()
    assert not any("the default" in line for line in lines(capsys, path))
    text = "\n".join(lines(capsys, path, "--all-settings"))
    assert "· settings.bins: 32 (the default)" in text
    assert "· store: results/set/raw/train" in text


def test_no_line_is_wide(tree, capsys):
    """Deep trees, long paths, long settings and many tools."""
    below = []
    for level in range(20):
        name = f"results/{'folder_with_a_long_name/' * 5}level{level}.safetensors"
        tools = {f"package_{number}": f"{level}.0" for number in range(20)}
        params = {"list": ["word"] * 50, "text": "word " * 90}
        below = [tree.output(name, "x", below, tools=tools, params=params, text=str(level))]
    found = lines(capsys, *below)
    assert len(found) > 100
    assert max(map(len, found)) <= WIDTH


def test_equal_sources_are_cut_and_changed_ones_are_not(tree, capsys):
    sources = {f"https://example.org/{k}.mp4": {"etag": str(k)} for k in range(20)} | {"/none/z.mp4": {"sha256": "ab"}}
    found = lines(capsys, tree.output("results/d.csv", "download", sources=sources))
    assert sum("https://" in line for line in found) == SOURCES
    assert "├─https://example.org/2.mp4" in found
    assert "│   source: etag 2" in found
    assert f"│ and {20 - SOURCES} more inputs" in found
    assert any(line.endswith("/none/z.mp4  ab  MISSING") for line in found)


def test_cells_and_depth(tree, capsys):
    path = tree.table()
    found = lines(capsys, path, "--row", "TSP features", "--column", "AUC", "--depth", "1")
    assert [line for line in found if "scores.json" in line and "bmn/tsp" not in line] == []
    assert sum("scores.json" in line for line in found) == 2
    assert "│ and 6 more inputs" in found
    assert sum(line.endswith("3 inputs not shown") for line in found) == 2


def test_json(tree, capsys):
    path = tree.table()
    assert main(["trace", path, "--json", "--row", "tsp"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["step"]["tools"] == TOOLS
    assert len(found["step"]["inputs"]) == 4
    assert found["step"]["settings"]["title"]["value"] == ENTRY["title"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["results/none"], "error: results/none: no such file and no record"),
        (["results/tables/both.md", "--row", "x"], "error: results/tables/both.md: no row 'x'; there are "),
        (["results/tables/both.md", "--depth", "-1"], "error: --depth -1: expected"),
    ],
)
def test_errors_are_one_line(tree, capsys, arguments, message):
    tree.table()
    assert main(["trace", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


def test_results_of_another_folder(tree, capsys, tmp_path, monkeypatch):
    tree.table()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    found = lines(capsys, "tables/both.md", "--results", "../results")
    assert found[0].startswith("results/tables/both.md  ")
    assert "MISSING" not in "\n".join(found)
