"""What made a file: the tree of records, states of present files, cells of a table, copied folders."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from unit.plan.results_tree import Tree

from tsp.errors import TspError
from tsp.plan import trace as module
from tsp.plan.trace import as_json, natural, trace

SCORES = "results/experiments/{}/{}/seed{}/scores.json"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Tree(tmp_path)


def states(root):
    return {file.path: file.state for file in root.walk()}


def names(root):
    return [file.path for file in root.step.inputs]


def test_the_tree_ends_at_the_sources(tree):
    root = trace(tree.table())
    assert names(root) == sorted(
        SCORES.format(e, r, s) for e in ("bmn", "gtad") for r in ("tac", "tsp") for s in (0, 1)
    )
    (annotations,) = (f for f in root.walk() if f.path == "data/annotations.json")
    assert (annotations.kind, annotations.state, annotations.step) == ("source", "unchanged", None)
    local, web = (f for f in root.walk() if f.path.endswith(".mp4"))
    assert (local.kind, local.state) == ("source", "unchanged")
    assert (web.kind, web.state, web.facts["ETag"]) == ("source", "unchecked", '"77"')
    assert {f.kind for f in root.walk()} == {"made", "source"}
    assert root.step.rule == "table"
    assert (root.step.host, root.step.seconds, root.step.code) == ("node7", 90.0, "0123456789ab")


def test_a_file_is_expanded_once(tree):
    root = trace(tree.table())
    found = [f for f in root.walk() if f.path == "results/set/annotations.json"]
    assert [f.repeated for f in found] == [False] + [True] * 7
    assert all((f.step is None) == f.repeated for f in found)
    assert {f.recorded for f in found} == {found[0].recorded}


def test_settings_are_compared_with_the_methods_defaults(tree):
    root = trace(tree.table())
    settings = {(f.path.split("/")[2], s.key): s for f in root.walk() if f.step for s in f.step.settings}
    assert settings["bmn", "settings.lr"].default == 0.0005
    assert settings["gtad", "settings.lr"].default == 0.004
    assert not settings["bmn", "settings.bins"].differs
    assert settings["download", "workers"].default == 4
    assert not settings["download", "attempts"].differs


def test_present_files_are_compared_with_what_was_read(tree):
    path = tree.table()
    assert set(states(trace(path)).values()) == {"unchanged", "unchecked"}
    tree.write("results/set/annotations.json", "edited")
    tree.write("data/a.mp4", "Pixels")  # of the same size
    os.utime("data/a.mp4", ns=(1, 1))
    (tree.folder / "results/set/download/train.0.csv").unlink()
    found = states(trace(path))
    assert found.pop("results/set/annotations.json") == "changed"
    assert found.pop(str(tree.folder / "data/a.mp4")) == "changed"
    assert found.pop("results/set/download/train.0.csv") == "missing"
    assert set(found.values()) == {"unchanged", "unchecked"}
    tree.write(path, "edited table")
    assert trace(path).state == "changed"


def test_an_input_that_was_made_again_has_changed(tree):
    path = tree.table()
    tree.output("results/set/annotations.json", "annotations", ["data/annotations.json"], text="other")
    root = trace(path)
    assert states(root)["results/set/annotations.json"] == "changed"
    assert root.state == "unchanged"


def test_a_touched_source_is_hashed_and_an_untouched_one_is_not(tree, monkeypatch):
    path = tree.table()
    video = str(tree.folder / "data/a.mp4")
    hashed = []
    monkeypatch.setattr(module, "sha256", lambda file: hashed.append(str(file)) or "0")
    assert states(trace(path))[video] == "unchanged"
    assert video not in hashed
    os.utime(video)
    trace(path)
    assert hashed.count(video) == 1
    assert len(hashed) == len(set(hashed)) * 2 - 1  # each file once in each of the two traces


def test_a_large_file_is_hashed_if_it_is_newer_than_its_record(tree, monkeypatch):
    path = tree.output("results/x.h5", "merge_features", text="0123456789")
    monkeypatch.setattr(module, "LARGE", 5)
    tree.write(path, "9876543210")
    os.utime(path, (0, 0))
    assert trace(path).state == "unchanged"
    os.utime(path, (2**31, 2**31))
    assert trace(path).state == "changed"
    tree.write(path, "longer than before")
    os.utime(path, (0, 0))
    assert trace(path).state == "changed"


@pytest.mark.parametrize(
    ("row", "column", "experiments", "runs"),
    [
        ("TSP features", "average", ["gtad"], ["tsp"]),
        ("tsp", "AUC", ["bmn"], ["tsp"]),
        ("tac", "gtad mAP@0.50", ["gtad"], ["tac"]),
        ("TSP - TAC", "@0.5", ["gtad"], ["tac", "tsp"]),
        ("TAC features", None, ["bmn", "gtad"], ["tac"]),
        (None, "AUC", ["bmn"], ["tac", "tsp"]),
    ],
)
def test_a_cell_is_its_scores_of_all_seeds(tree, row, column, experiments, runs):
    root = trace(tree.table(), row=row, column=column)
    wanted = [SCORES.format(e, r, s) for e in experiments for r in runs for s in (0, 1)]
    assert names(root) == wanted
    assert root.step.omitted == 8 - len(wanted)


def test_a_wrong_cell_is_an_error_that_lists_the_right_ones(tree):
    path = tree.table()
    with pytest.raises(TspError, match=r"no row 'TSN'; there are 'TAC features', 'TSP features', 'TSP - TAC', 'tac', "):
        trace(path, row="TSN", column="average")
    with pytest.raises(TspError, match=r"no column '@0.95'; there are '@0.5', 'average', 'AUC'$"):
        trace(path, row="tsp", column="@0.95")
    with pytest.raises(TspError, match="not a table"):
        trace("results/set/annotations.json", row="tsp")


def test_depth_limits_the_levels(tree):
    path = tree.table()
    assert [f.path for f in trace(path, depth=0).walk()] == [path]
    assert trace(path, depth=0).step.omitted == 8
    one = trace(path, depth=1)
    assert len(list(one.walk())) == 9
    assert all(f.step.omitted == 3 for f in one.step.inputs)


def test_depth_expands_a_file_where_more_levels_are_left(tree):
    """The first place of `late` is at the limit, the second is not."""
    source = tree.output("results/a_source", "x")
    late = tree.output("results/c_late", "x", [source])
    middle = tree.output("results/b_middle", "x", [late])
    root = trace(tree.output("results/root", "x", [middle, late]), depth=2)
    assert [(f.path, f.repeated) for f in root.walk()][-2:] == [(late, False), (source, False)]


def test_a_copied_folder_and_another_directory(tree, tmp_path, monkeypatch):
    path = tree.table()
    here = trace(path)
    copy = tmp_path / "elsewhere/copied"
    shutil.copytree("results", copy)
    monkeypatch.chdir(copy.parent)
    ways = [
        trace(copy / "tables/both.md"),
        trace("copied/tables/both.md"),
        trace("tables/both.md", copy),
        trace(path, copy),
        trace(path, copy.relative_to(copy.parent)),
        trace(tmp_path / path),
    ]
    for found in ways:
        assert [f.path for f in found.walk()] == [f.path for f in here.walk()]
    # The annotations were read relative to the working directory, which was not copied.
    assert {p for p, state in states(ways[0]).items() if state == "missing"} == {"data/annotations.json"}
    assert states(ways[-1]) == states(here)


def test_a_file_without_a_record_is_an_error(tree):
    tree.table()
    tree.write("results/old.csv", "x")
    with pytest.raises(TspError, match=r"results/old.csv: no record in results/.made: .* run its step again"):
        trace("results/old.csv")
    with pytest.raises(TspError, match="no such file and no record"):
        trace("results/none.csv")
    with pytest.raises(TspError, match=r"data/a.mp4: not an output of the workflow"):
        trace("data/a.mp4")
    tree.write("results/.made/results/old.csv.json", "[]")
    with pytest.raises(TspError, match=r"old.csv.json: expected a record"):
        trace("results/old.csv")


def test_an_input_without_a_record_is_a_leaf(tree):
    tree.write("results/old.csv", "x")
    (old,) = trace(tree.output("results/new.csv", "x", ["results/old.csv"])).step.inputs
    assert (old.kind, old.state) == ("unrecorded", "unchanged")


def test_a_deleted_output_can_be_traced(tree):
    path = tree.table()
    (tree.folder / path).unlink()
    assert trace(path).state == "missing"


def test_sources_of_a_download_come_from_the_records_of_its_store(tree):
    """Where the record of the manifest states none: local files, addresses with what the server said, no strangers."""
    video = tree.write("data/a.mp4", "pixels")
    local = {"bytes": 6, "mtime_ns": video.stat().st_mtime_ns, "sha256": "ab"}
    records = {
        "a.mp4": {"identity": {"sha256": "ab"}, "notes": {"source": str(video), "content": local}, "content": local},
        "b.webm": {
            "identity": {"address": "https://example.org/b"},
            "notes": {"source": "https://example.org/b", "server": {"etag": "77"}},
            "content": {"bytes": 3, "mtime_ns": 5, "sha256": "cd"},
        },
        "other.mp4": {"identity": {}, "notes": {"source": "other.mp4"}, "content": local},
    }
    for name, record in records.items():
        tree.write(f"results/set/raw/train/.made/{name}.json", json.dumps(record))
    tree.write("results/set/raw/train/a.mp4", "pixels")
    path = tree.output(
        "results/set/download/train.0.csv",
        "download",
        text="video,filename\na,a.mp4\nb,b.mp4\n",
        params={"store": "results/set/raw/train"},
    )
    local_file, web = trace(path).step.inputs
    assert (local_file.path, local_file.state, local_file.recorded) == (str(video), "unchanged", "ab")
    assert (web.path, web.recorded, web.facts["etag"]) == ("https://example.org/b", "cd", "77")
    stored = trace("results/set/raw/train/a.mp4")
    assert (stored.kind, stored.facts["source"]) == ("stored", str(video))


def test_a_released_file_is_a_source(tree):
    params = {"source": {"url": "https://example.org/w.pth", "path": None, "digest": "0123abcd"}}
    (source,) = trace(tree.output("results/released/w.pth", "fetch_weights", params=params)).step.inputs
    assert (source.path, source.facts) == ("https://example.org/w.pth", {"expected": "0123abcd"})


def test_a_resolved_configuration_is_complete(tree):
    """The record has every option, also those that the user did not write."""
    resolved = {"name": "x", "experiment": {"method": "tsp.localise.bmn", "settings": {"lr": 0.0005, "bins": 3}}}
    entry = {"method": "tsp.localise.bmn"}
    path = tree.output("results/c.yaml", "resolve_experiment", params={"entry": entry}, resolved=resolved)
    found = {s.key: s.differs for s in trace(path).step.settings}
    assert found["experiment.settings.bins"]
    assert found["experiment.settings.lr"] is False


def test_json_has_everything(tree):
    found = as_json(trace(tree.table()))
    text = json.loads(json.dumps(found))
    assert text == found
    assert text["state"] == "unchanged"
    scores = text["step"]["inputs"][0]
    assert len(scores["sha256"]) == 64
    config = next(f for f in scores["step"]["inputs"] if f["path"].endswith("config.yaml"))
    settings = config["step"]["settings"]
    assert settings["settings.lr"] == {"value": 0.5, "default": 0.0005, "differs": True}
    assert settings["settings.bins"] == {"value": 32, "default": 32, "differs": False}
    assert config["step"]["tools"]["torch"] == "2.6.0"
    again = text["step"]["inputs"][1]["step"]["inputs"]
    assert [f.get("repeated") for f in again] == [True, True, True]


def test_an_unreadable_file_is_not_checked(tree, monkeypatch):
    path = tree.output("results/x", "x")

    def refused(file):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(module, "sha256", refused)
    assert trace(path).state == "unchecked"


def test_shards_are_in_order():
    assert sorted(["train.10.csv", "train.9.csv", "a.1"], key=natural) == ["a.1", "train.9.csv", "train.10.csv"]


def test_hundreds_of_files_take_less_than_two_seconds_and_no_torch(tree):
    annotations = tree.output("results/a.json", "annotations", text="x" * 10**5)
    files = [tree.output(f"results/f{k}", "x", [annotations], text=str(k) * 10**5) for k in range(400)]
    path = tree.output("results/t", "x", files)
    code = f"import sys; from tsp.cli import main; main(['trace', {path!r}]); assert 'torch' not in sys.modules"
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert time.monotonic() - begin < 2
    assert "402 files" in done.stdout
