"""The three ground truths of THUMOS14: which videos each leaves out, and that the scores name it."""

import json

import pytest

from tsp.cli import main
from tsp.errors import TspError
from tsp.evaluation.thumos14 import ONLY_AMBIGUOUS, VARIANTS, WRONG, left_out
from tsp.io.predictions import write_predictions, write_thumos14
from tsp.types import Video

ROWS = [
    ("video_test_0000004", "Diving", 0, 10),
    ("video_test_0000004", "Ambiguous", 20, 30),
    (ONLY_AMBIGUOUS, "Ambiguous", 0, 5),
    (WRONG[0], "HammerThrow", 1, 2),
    (WRONG[1], "CricketShot", 1, 2),
]
FOUND = {
    "video_test_0000004": [{"segment": [0, 10], "score": 0.9, "label": "Diving"}],
    ONLY_AMBIGUOUS: [{"segment": [0, 5], "score": 0.95, "label": "Diving"}],
}


@pytest.fixture
def files(tmp_path):
    lines = ["video,type,start,end", *(",".join(map(str, row)) for row in ROWS)]
    (tmp_path / "test_Annotation.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def score(files, capsys, *arguments, task="detection"):
    known = ["--ground-truth", files / "test_Annotation.csv", "--predictions", files / "p.json"]
    assert main(["evaluate", task, *map(str, [*known, "--dataset", "thumos14", *arguments])]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("variant", "videos", "classes", "diving"), [("210", 1, 1, 1), ("212", 3, 3, 1), ("213", 4, 3, 0.5)]
)
def test_each_variant(files, capsys, variant, videos, classes, diving):
    """Whoever detects something in the video that is ambiguous only is wrong by the third alone."""
    write_predictions(files / "p.json", FOUND, version="x")
    scores = score(files, capsys, "--variant", variant)
    assert scores["options"]["variant"] == VARIANTS[variant]
    assert (scores["counts"]["videos"], len(scores["per_class"])) == (videos, classes)
    assert scores["per_class"]["Diving"]["average_AP"] == diving
    assert list(scores["mAP"]) == ["0.30", "0.40", "0.50", "0.60", "0.70"]


@pytest.mark.parametrize("task", ["detection", "proposals", "classification"])
def test_the_smallest_is_the_default(files, capsys, task):
    write_predictions(files / "p.json", FOUND, version="x")
    options = score(files, capsys, task=task)["options"]
    assert (options["dataset"], options["subset"], options["variant"]) == ("thumos14", "test", VARIANTS["210"])


def test_predictions_in_the_official_text(files, capsys):
    write_predictions(files / "p.json", FOUND, version="x")
    as_json = score(files, capsys)
    write_thumos14(files / "p.txt", FOUND)
    assert score(files, capsys, "--predictions", files / "p.txt") == as_json


def test_a_file_cut_already_can_be_measured_but_is_not_taken_for_more():
    videos = [Video(name="video_test_0000004", filename="x.mp4", subset="test", duration_s=None, segments=())]
    assert left_out(videos, None, "g.json") == left_out(videos, "210", "g.json") == {ONLY_AMBIGUOUS, *WRONG}
    with pytest.raises(TspError, match=f"g.json: no video '{WRONG[0]}', so it is not the ground truth of 212 videos"):
        left_out(videos, "212", "g.json")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--dataset", "activitynet", "--variant", "210"], "only --dataset thumos14 has variants"),
        (["--dataset", "activitynet"], "expected ActivityNet-style JSON"),
    ],
)
def test_other_data_sets_have_none(files, capsys, arguments, text):
    known = ["--ground-truth", files / "test_Annotation.csv", "--predictions", files / "p.json"]
    assert main(["evaluate", "detection", *map(str, known), *arguments]) == 1
    assert text in capsys.readouterr().err
