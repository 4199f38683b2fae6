"""`tsp evaluate`: five tasks on files, JSON out, one-line errors."""

import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.evaluation.test_captions import Shares

from tsp.cli import main
from tsp.cli.evaluate import parse_tious
from tsp.errors import TspError
from tsp.evaluation.detection import ACTIVITYNET_TIOUS


@pytest.fixture
def files(tmp_path):
    """Ground truth of two videos and a submission that hits one of two instances."""
    database = {
        "v1": {"subset": "validation", "duration": 60, "annotations": [{"segment": [0, 10], "label": "run"}]},
        "v2": {"subset": "validation", "duration": 60, "annotations": [{"segment": [5, 15], "label": "jump"}]},
        "v3": {"subset": "training", "duration": 60, "annotations": [{"segment": [5, 15], "label": "jump"}]},
    }
    results = {
        "v1": [{"segment": [0, 10], "score": 0.9, "label": "run"}],
        "v2": [{"segment": [30, 40], "score": 0.8, "label": "jump"}],
    }
    (tmp_path / "g.json").write_text(json.dumps({"database": database}))
    (tmp_path / "p.json").write_text(json.dumps({"results": results}))
    return tmp_path


def run(capsys, *arguments):
    assert main(["evaluate", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def truth_of(files):
    return ["--ground-truth", files / "g.json"]


def test_detection(files, capsys):
    scores = run(capsys, "detection", *truth_of(files), "--predictions", files / "p.json")
    assert list(scores["mAP"]) == [f"{t:.2f}" for t in ACTIVITYNET_TIOUS]
    assert scores["average_mAP"] == 0.5
    assert scores["per_class"]["run"]["average_AP"] == 1
    assert scores["counts"]["predictions"] == 2
    assert scores["options"]["strict_compat"] is False


def test_detection_to_a_file_prints_a_table(files, capsys):
    out = files / "scores.json"
    arguments = ["detection", *truth_of(files), "--predictions", files / "p.json", "--tiou", "0.3,0.5", "--json", out]
    assert main(["evaluate", *map(str, arguments)]) == 0
    assert "50.00" in capsys.readouterr().out
    assert json.loads(out.read_text())["mAP"] == {"0.30": 0.5, "0.50": 0.5}


def test_detection_of_another_subset(files, capsys):
    arguments = ["detection", *truth_of(files), "--predictions", files / "p.json", "--subset", "training"]
    assert main(["evaluate", *map(str, arguments)]) == 1
    assert "label 'run' is not in the counted ground truth" in capsys.readouterr().err
    scores = run(capsys, *arguments, "--ignore-unknown-labels")
    assert scores["average_mAP"] == 0


def test_proposals(files, capsys):
    scores = run(capsys, "proposals", *truth_of(files), "--predictions", files / "p.json")
    assert list(scores["AR"]) == ["1", "5", "10", "100"]
    assert run(capsys, "proposals", *truth_of(files), "--proposals", files / "p.json", "--max-avg", "100") == scores
    assert scores["AR"]["100"] == 0.5
    assert 49 < scores["AUC"] <= 50
    assert len(scores["curve"]) == 100


def test_classification(files, capsys):
    scores = run(capsys, "classification", *truth_of(files), "--predictions", files / "p.json", "--k", "1")
    assert scores["mAP"] == 1
    assert scores["hit"] == {"1": 1}


def test_errors_and_their_figures(files, capsys):
    scores = run(capsys, "errors", *truth_of(files), "--predictions", files / "p.json", "--figures", files / "figures")
    assert scores["false_positives"]["totals"]["0.50"]["background"] == 1
    assert scores["tie_share"] == 0
    assert list((files / "figures").glob("*.png"))


def test_two_files_are_compared(files, capsys):
    perfect = {
        "results": {
            v: [{"segment": s, "score": 1, "label": c}] for v, s, c in (("v1", [0, 10], "run"), ("v2", [5, 15], "jump"))
        }
    }
    (files / "q.json").write_text(json.dumps(perfect))
    arguments = [
        "errors",
        *truth_of(files),
        "--predictions",
        files / "p.json",
        files / "q.json",
        "--json",
        files / "e.json",
    ]
    assert main(["evaluate", *map(str, arguments)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["percent", "p", "q", "difference"]
    assert ["average", "mAP", "50.00", "100.00", "50.00"] in rows
    # The paper's claim on short actions is this row.
    assert any(row[:5] == ["mAP_N", "of", "length", "XS", "50.00"] for row in rows)


def test_captions(files, capsys, monkeypatch):
    """Without Java, which tests/golden starts."""
    monkeypatch.setattr("tsp.evaluation.captions.Meteor", Shares)
    monkeypatch.setattr("tsp.evaluation.captions.tokenise", lambda sentences: {s: s.lower() for s in sentences})
    reference = {"v1": {"duration": 60, "timestamps": [[0, 10]], "sentences": ["A man is running."]}}
    found = {"results": {"v1": [{"sentence": "A man is running.", "timestamp": [0, 10]}]}}
    (files / "r.json").write_text(json.dumps(reference))
    (files / "c.json").write_text(json.dumps(found))
    scores = run(capsys, "captions", "--references", files / "r.json", "--predictions", files / "c.json")
    assert list(scores["per_tiou"]) == ["0.30", "0.50", "0.70", "0.90"]
    assert scores["average"]["METEOR"] == pytest.approx(1, abs=1e-6)
    assert scores["average"]["recall"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "p.json: the file is empty"),
        ("[1, 2", "p.json"),
        ('{"results": []}', "no 'results' object"),
        ('{"results": {"v1": [{"segment": [0, 1]}]}}', "results['v1'][0]: expected segment"),
        ('{"results": {"v1": [{"segment": [0, 1], "score": NaN, "label": "run"}]}}', "is not finite"),
        ('{"results": {"v1": [{"segment": [0, 1], "score": 1}]}}', "results['v1'][0]: label None"),
    ],
)
def test_bad_predictions_are_one_line(files, capsys, content, message):
    (files / "p.json").write_text(content)
    arguments = ["detection", *truth_of(files), "--predictions", files / "p.json"]
    assert main(["evaluate", *map(str, arguments)]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1


def test_ranges_include_their_stop():
    assert parse_tious("0.5:0.95:0.05") == tuple(ACTIVITYNET_TIOUS)
    assert parse_tious("0.3:0.7:0.1") == (0.3, 0.4, 0.5, 0.6, 0.7)
    for wrong in ("0.5:0.9:0.3", "a", "0.5:0.4:0.1"):
        with pytest.raises(TspError, match="--tiou"):
            parse_tious(wrong)


# What a file may hold at any place instead of what belongs there.
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
REFERENCE = {"v1": {"duration": 60, "timestamps": [[0, 10]], "sentences": ["A man."]}}
CAPTIONS = {"results": {"v1": [{"sentence": "A man.", "timestamp": [0, 10], "proposal_score": 0.5}]}}


def places(value, path=()):
    """Every place in a document."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def replaced(value, path, other):
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], other)
    return copy


@pytest.mark.parametrize("task", ["detection", "proposals", "classification", "captions", "errors"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_odd_files_are_measured_or_told_in_one_line(files, capsys, monkeypatch, task, data):
    monkeypatch.setattr("tsp.evaluation.captions.Meteor", Shares)
    monkeypatch.setattr("tsp.evaluation.captions.tokenise", lambda sentences: {s: s.lower() for s in sentences})
    (files / "r.json").write_text(json.dumps(REFERENCE))
    (files / "c.json").write_text(json.dumps(CAPTIONS))
    names = ("r.json", "c.json") if task == "captions" else ("g.json", "p.json")
    changed = data.draw(st.sampled_from(names))
    whole = (files / changed).read_text()
    document = json.loads(whole)
    path = data.draw(st.sampled_from(list(places(document))))
    (files / changed).write_text(json.dumps(replaced(document, path, data.draw(ODD))))
    flag = "--references" if task == "captions" else "--ground-truth"
    status = main(["evaluate", task, flag, str(files / names[0]), "--predictions", str(files / names[1])])
    (files / changed).write_text(whole)
    out, err = capsys.readouterr()
    if status:
        (said,) = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (names[0] in said or names[1] in said) and len(said) < 700
    else:
        json.loads(out, parse_constant=pytest.fail)


def test_help_takes_less_than_a_second_of_imports():
    command = [sys.executable, "-X", "importtime", "-m", "tsp", "evaluate", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    own = [line.split("|")[0].removeprefix("import time:") for line in done.stderr.splitlines()[1:] if "|" in line]
    assert sum(int(us) for us in own if us.strip().isdigit()) < 1e6
    assert len(own) > 20


def test_help_does_not_import_torch():
    code = (
        "import sys\nfrom tsp.cli import main\ntry: main(['evaluate', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "detection" in done.stdout
