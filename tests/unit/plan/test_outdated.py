"""What `tsp status` prints below its table: outdated encoders, other tools, changed sources."""

import json
import os

import pytest
import yaml
from unit.plan.results_tree import Tree

from tsp.io.files import sha256
from tsp.plan import identity, outdated
from tsp.plan.outdated import WIDTH, changed_sources, is_same_version, other_tools, outdated_encoders, report


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@pytest.fixture
def results(tree):
    return tree.folder / "results"


def encoder(tree, run="tsp", *, modules=None, settings=None, inputs=(), config=None, **facts):
    """An encoder with its facts, its resolved configuration and its record."""
    settings = settings or {"track_code": "cheap", "trainer": {"weight_decay": 0.1, "epochs": 8}}
    present = {"run": config or settings, "encoder": {"crop": 112}}
    path = tree.output(f"results/pretrain/{run}/config.yaml", "resolve_run", text=yaml.safe_dump(present))
    text = json.dumps({"run": settings, "encoder": {"crop": 112}, **facts})
    name = f"results/pretrain/{run}/encoder.json"
    modules = identity.modules(["tsp.pretrain.gvf"]) if modules is None else modules
    tree.output(name, "pretrain", [path, *inputs], text=text, modules=modules)


def test_an_encoder_of_the_present_code_is_not_outdated(tree, results):
    encoder(tree)
    assert outdated_encoders(results) == {}
    assert report(results)[:1] != ["outdated"]


def test_everything_that_differs_is_named(tree, results):
    segments = tree.output("results/set/segments.csv", "segments", text="1")
    now = identity.modules(["tsp.pretrain.gvf"])
    changed = {**now, "tsp.errors": "0", "tsp.pretrain.gvf": "0"} | {"tsp.pretrain.removed": "1"}
    later = {"track_code": "all", "trainer": {"weight_decay": 0.5, "epochs": 8, "new": 1}}
    encoder(tree, modules=changed, inputs=[segments], config=later, outdated=["input results/gvf/a.h5"])
    tree.output(segments, "segments", text="2")
    found = outdated_encoders(results)["tsp"]
    assert "input results/gvf/a.h5" in found
    assert {"code of tsp.pretrain.gvf", "code of tsp.pretrain.removed"} <= set(found)
    assert "input results/set/segments.csv" in found
    assert "run.trainer.weight_decay (0.1, now 0.5)" in found
    # A setting that is new in the code, the folder's own configuration file and track_code are no differences.
    assert len([one for one in found if not one.startswith("code of")]) == 3


def test_what_the_workflow_listed_is_not_repeated(tree, results):
    listed = "settings.run.trainer.weight_decay (0.1, now 0.5)"
    encoder(tree, config={"trainer": {"weight_decay": 0.5}}, outdated=[listed])
    assert outdated_encoders(results) == {"tsp": [listed]}


def test_untracked_code_is_not_compared(tree, results):
    encoder(tree, settings={"track_code": "none"}, modules={"tsp.pretrain.gvf": "0"})
    assert outdated_encoders(results) == {}


def test_encoders_without_record_or_folder(tree, results):
    assert report(results) == []
    tree.write("results/pretrain/old/encoder.json", "{}")
    assert outdated_encoders(results) == {}


def test_other_tools_are_grouped_by_stage(tree, results, monkeypatch):
    monkeypatch.setattr(outdated, "present_version", {"ffmpeg": "5.1.9", "torch": "2.6.0+cpu", "av": None}.get)
    for subset in ("train", "valid"):
        for shard in range(3):
            wildcards = {"dataset": "synthetic", "subset": subset, "shard": str(shard)}
            path = f"results/synthetic/standardise/{subset}.{shard}.csv"
            tools = {"ffmpeg": "9.0.2", "torch": "2.6.0", "av": "1"}
            tree.output(path, "standardise", wildcards=wildcards, tools=tools)
    tree.output("results/a", "table", tools={"torch": "2.5.1"}, wildcards={"table": "t"})
    tree.output("results/b", "evaluate", tools={"torch": "2.5.1"}, wildcards={"experiment": "e"})
    tree.output("results/e", "pretrain", tools={"torch": "2.5.1", "ffmpeg": "9.0.2"}, wildcards={"run": "tsp"})
    tree.output("results/f", "pretrain", tools={"torch": "unknown"}, wildcards={"run": "tac"})
    tree.output("results/gone", "pretrain", tools={"torch": "1.0"}, wildcards={"run": "gone"})
    (results / "gone").unlink()
    assert other_tools(results) == [
        "standardised videos of synthetic/train, synthetic/valid: made with ffmpeg 9.0.2, now 5.1.9",
        "encoders of tsp: made with ffmpeg 9.0.2, now 5.1.9; torch 2.5.1, now 2.6.0+cpu",
        "outputs of evaluate, table: made with torch 2.5.1, now 2.6.0+cpu",
    ]


@pytest.mark.parametrize(
    ("used", "now", "same"),
    [
        ("2.6.0", "2.6.0+cpu", True),
        ("2.6.0+cu126", "2.6.0", True),
        ("2.6.0+cu126", "2.6.0+cpu", False),
        ("2.6.0", "2.6.1", False),
        ("7.1 (0a)", "7.1 (0b)", False),
    ],
)
def test_build_tags_count_where_both_have_one(used, now, same):
    assert is_same_version(used, now) is same


def test_the_tools_of_this_environment_have_versions():
    import torch

    assert is_same_version(str(torch.__version__), outdated.present_version("torch"))
    assert outdated.present_version("ffmpeg")
    assert outdated.present_version("no_such_tool") is None


def test_changed_sources_are_named(tree, results):
    names = ("same", "touched", "changed", "longer", "gone", "never", "came")
    facts = {}
    for name in names:
        file = tree.write(f"data/{name}.mp4", name)
        stat = file.stat()
        facts[str(file)] = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256(file)}
    path = {name: str(tree.folder / f"data/{name}.mp4") for name in names}
    facts[path["never"]] = facts[path["came"]] = None
    os.utime(path["touched"], (1, 1))
    tree.write("data/changed.mp4", "Changed")
    os.utime(path["changed"], (1, 1))
    tree.write("data/longer.mp4", "much longer")
    for name in ("gone", "never"):
        (tree.folder / f"data/{name}.mp4").unlink()
    found = {"token": "first", "sources": facts}
    tree.write("results/set/raw/train/.made/sources.0.json", json.dumps(found))
    assert changed_sources(results) == [
        f"{path['came']} (set/train): available now, missing before",
        f"{path['changed']} (set/train): changed",
        f"{path['gone']} (set/train): missing",
        f"{path['longer']} (set/train): changed",
    ]


def test_sources_of_records_count_once_and_addresses_do_not(tree, results):
    sources = {"/none/w.pth": {"sha256": "ab"}, "https://example.org/w.pth": {"sha256": "ab"}}
    for name in ("a.csv", "b.csv"):
        wildcards = {"dataset": "set", "subset": "train"}
        tree.output(f"results/{name}", "download", sources=sources, wildcards=wildcards)
    assert changed_sources(results) == ["/none/w.pth (set/train): missing"]


def test_the_report_is_short_and_narrow(tree, results, monkeypatch):
    monkeypatch.setattr(outdated, "present_version", lambda tool: "9")
    now = identity.modules(["tsp.pretrain.train"])
    encoder(tree, modules=dict.fromkeys(now, "0"))
    sources = {f"/none/{k:03}.mp4": {"sha256": "ab"} for k in range(200)}
    for rule in range(40):
        wildcards = {"dataset": f"dataset{rule}", "subset": "train"}
        tree.output(f"results/{rule}", f"rule{rule}", sources=sources, tools={"av": "1"})
        tree.output(f"results/x{rule}", "standardise", wildcards=wildcards, tools={"av": "1"})
    found = report(results)
    assert len(found) < 30
    assert max(map(len, found)) <= WIDTH
    assert [line for line in found if not line.startswith(" ")] == [
        "outdated encoders, kept by track_code: cheap (track_code: all retrains):",
        "other versions of tools:",
        "sources that have changed since they were read:",
    ]
    assert found[-1] == "  and 190 more"
