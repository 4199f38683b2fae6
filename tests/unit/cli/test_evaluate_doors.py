"""What comes in through the evaluators' doors: the right number or one line, never a traceback."""

import copy
import json

import pytest
from unit.cli.test_evaluate import CAPTIONS, REFERENCE, places, replaced
from unit.evaluation.test_captions import Shares

from tsp.cli import main

INSTANCE = {"segment": [0, 10], "label": "A"}
TRUTH = {
    "database": {
        "v1": {"subset": "validation", "duration": 100.0, "annotations": [INSTANCE]},
        "v2": {"subset": "validation", "duration": 20.0, "annotations": [{"segment": [5, 15], "label": "A"}]},
    }
}
FOUND = {
    "results": {
        "v1": [{"segment": [0, 10], "score": 0.9, "label": "A"}],
        "v2": [{"segment": [5, 15], "score": 0.8, "label": "A"}],
    }
}
THUMOS_TRUTH = {
    "database": {
        "video_test_0000004": {
            "subset": "test",
            "duration": 30.0,
            "annotations": [
                {"segment": [0.2, 1.1], "label": "CricketBowling"},
                {"segment": [1.3, 10.4], "label": "CricketShot"},
            ],
        }
    }
}
THUMOS_CSV = "video,type,start,end,startFrame,endFrame\n" + "".join(
    f"video_test_0000004,{label},{start},{end},{round(30 * start)},{round(30 * end)}\n"
    for label, start, end in (("CricketBowling", 0.2, 1.1), ("CricketShot", 1.3, 10.4))
)
THUMOS_TEXT = "video_test_0000004 0.2 1.1 23 0.9\nvideo_test_0000004 1.3 10.4 24 0.8\n"
DURATIONS = "filename,video-duration\nv1.mp4,100\nv2.mp4,20\n"


@pytest.fixture
def scored(tmp_path, capsys, monkeypatch):
    """Write files and evaluate; gives the scores, or the one line of the error."""
    # A handler that an earlier test has left writes to a stream that is closed by now, and would print a traceback.
    monkeypatch.setattr("logging.raiseExceptions", False)
    monkeypatch.setattr("tsp.evaluation.captions.Meteor", Shares)
    monkeypatch.setattr("tsp.evaluation.captions.tokenise", lambda sentences: {s: s.lower() for s in sentences})

    def score(task, *options, **contents):
        files = {
            "ground-truth": ("g.json", json.dumps(TRUTH)),
            "references": ("r.json", json.dumps(REFERENCE)),
            "predictions": ("p.json", json.dumps(CAPTIONS if task == "captions" else FOUND)),
        }
        files |= {key.replace("_", "-"): value for key, value in contents.items()}
        files.pop("ground-truth" if task == "captions" else "references")
        arguments = ["evaluate", task, *options]
        for option, (name, content) in files.items():
            path = tmp_path / name
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            arguments += [f"--{option}", str(path)]
        status = main(arguments)
        out, told = capsys.readouterr()
        if status == 0:
            return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} in the scores"))
        lines = told.strip().splitlines()
        assert status == 1 and lines[-1].startswith("error: ") and "Traceback" not in told
        return lines[-1]

    return score


def twice(document, key, value):
    """JSON in which a key of the outermost object's first inner object occurs twice."""
    text = json.dumps(document)
    inner = text.index("{", 1) + 1
    return f"{text[:inner]}{json.dumps(key)}: {json.dumps(value)}, {text[inner:]}"


@pytest.mark.parametrize(
    ("task", "files"),
    [
        ("detection", {"predictions": ("p.json", twice(FOUND, "v1", []))}),
        ("proposals", {"predictions": ("p.json", twice(FOUND, "v1", []))}),
        ("detection", {"ground_truth": ("g.json", twice(TRUTH, "v1", {}))}),
        ("captions", {"predictions": ("p.json", twice(CAPTIONS, "v1", []))}),
        ("captions", {"references": ("r.json", twice({"x": REFERENCE}, "v1", {}).removeprefix('{"x": ')[:-1])}),
    ],
)
def test_a_video_that_stands_twice_is_named(scored, task, files):
    assert "'v1' occurs twice" in scored(task, **files)


@pytest.mark.parametrize("times", ["12", {"0": 1, "1": 2}, ["1_0", 20], [True, 20], [1], [1, 2, 3]])
def test_texts_and_objects_are_no_segments(scored, times):
    truth, found, captions, references = map(copy.deepcopy, (TRUTH, FOUND, CAPTIONS, REFERENCE))
    truth["database"]["v1"]["annotations"][0]["segment"] = times
    found["results"]["v1"][0]["segment"] = times
    captions["results"]["v1"][0]["timestamp"] = times
    references["v1"]["timestamps"][0] = times
    assert "annotations[0]: expected segment" in scored("detection", ground_truth=("g.json", json.dumps(truth)))
    for task in ("detection", "proposals"):
        assert "results['v1'][0]: " in scored(task, predictions=("p.json", json.dumps(found)))
    assert "results['v1'][0]: " in scored("captions", predictions=("p.json", json.dumps(captions)))
    assert "'v1': timestamps" in scored("captions", references=("r.json", json.dumps(references)))


def test_sentences_are_a_list(scored):
    broken = {"v1": {**REFERENCE["v1"], "sentences": "x"}}
    assert "'v1': expected timestamps and as many" in scored("captions", references=("r.json", json.dumps(broken)))


def test_a_byte_order_mark_is_no_part_of_a_name(scored):
    files = {
        "ground_truth": ("g.json", json.dumps(THUMOS_TRUTH)),
        "predictions": ("p.txt", "\ufeff" + THUMOS_TEXT),
    }
    assert scored("detection", "--dataset", "thumos14", **files)["average_mAP"] == 1.0


def test_the_protocol_of_the_challenge(scored, caplog):
    caplog.set_level("INFO")
    files = {"ground_truth": ("g.csv", THUMOS_CSV), "predictions": ("p.txt", THUMOS_TEXT)}
    options = ["--dataset", "thumos14", "--protocol"]
    assert scored("detection", *options, "activitynet", **files)["options"].get("protocol") is None
    assert "the challenge's own AP: --protocol thumos-kit" in caplog.text
    for name, formula in (("thumos-kit", "mean"), ("thumos-kit-eleven", "eleven")):
        found = scored("detection", *options, name, **files)
        assert (found["average_mAP"], found["options"]["formula"]) == (1.0, formula)
    assert "only with --dataset thumos14" in scored("detection", "--protocol", "thumos-kit")


@pytest.mark.parametrize("start", ["abc", "", "1,5", "1_0", "inf"])
def test_thumos14_csv(scored, start):
    csv = THUMOS_CSV.replace(",0.2,", f',"{start}",')
    files = {"ground_truth": ("g.csv", csv), "predictions": ("p.txt", THUMOS_TEXT)}
    assert scored("detection", "--dataset", "thumos14", **files | {"ground_truth": ("g.csv", THUMOS_CSV)})
    assert "g.csv" in scored("detection", "--dataset", "thumos14", **files)


@pytest.mark.parametrize("most", ["inf", "1e400", "nan", "0", "-1", "1_0", "x"])
def test_numbers_of_proposals(scored, most):
    assert scored("proposals", f"--max-avg={most}") == f"error: --max-avg {most!r}: expected a positive number or `all`"


@pytest.mark.parametrize("tiou", ["", "1_0", "0.5,", "0.5:0.9", "x"])
def test_thresholds(scored, tiou):
    assert "--tiou" in scored("detection", "--tiou", tiou)


@pytest.mark.parametrize("task", ["detection", "proposals", "classification", "captions", "errors"])
def test_scores_are_not_written_to_a_folder(scored, tmp_path, task):
    assert scored(task, "--json", str(tmp_path)) == f"error: --json {tmp_path}: is a folder; state a file"


def test_two_columns_of_durations(scored):
    found = scored("errors", durations=("d.csv", DURATIONS))
    assert found["average_mAP_N"] == 1.0
    assert "expected a number" in scored("errors", durations=("d.csv", DURATIONS.replace(",100", ",long")))
    assert "no duration of video 'v2'" in scored("errors", durations=("d.csv", "filename,video-duration\nv1.mp4,9\n"))


def test_a_stated_coverage_gives_the_duration(scored):
    """The file of the authors of the error analyses states no durations."""
    truth = copy.deepcopy(TRUTH)
    for name, share in (("v1", 0.1), ("v2", 0.5)):
        del truth["database"][name]["duration"]
        truth["database"][name]["annotations"][0]["coverage"] = share
    expected = scored("errors")
    assert scored("errors", ground_truth=("g.json", json.dumps(truth))) == expected


def test_an_infinite_duration_is_refused(scored):
    text = json.dumps(TRUTH).replace("100.0", "Infinity")
    assert "'v1': duration inf; expected seconds" in scored("errors", ground_truth=("g.json", text))


ODD = [
    None,
    True,
    -1,
    1e999,
    float("nan"),
    "",
    "x",
    "1_0",
    "12",
    [],
    [[]],
    [1],
    {},
    {"0": 1, "1": 2},
    "\ud800",
    10**400,
]
DOORS = {
    "detection": ("predictions", FOUND),
    "proposals": ("predictions", FOUND),
    "errors": ("predictions", FOUND),
    "classification": ("predictions", {"results": {"v1": [{"score": 0.9, "label": "A"}], "v2": []}}),
    "captions": ("predictions", CAPTIONS),
}
TRUTHS = {
    "detection": ("ground_truth", TRUTH),
    "errors": ("ground_truth", TRUTH),
    "captions": ("references", REFERENCE),
}


def broken_documents(document):
    """The document with each of its values replaced by each odd one, cut, in other encodings, and with keys twice."""
    for place in places(document):
        for odd in ODD:
            yield json.dumps(replaced(document, place, odd))
    text = json.dumps(document)
    yield from (text[: len(text) * k // 12] for k in range(12))
    yield from (text.encode(name) for name in ("utf-16", "utf-32", "utf-8-sig"))
    yield text.encode() + b"\xff"
    yield text.replace("v1", "v\u00e9").encode("latin-1")
    yield "[" * 100_000
    yield text.replace("{", '{"a": 0, "a": 1, ', 1)


@pytest.mark.parametrize(("kind", "doors"), [("found", DOORS), ("true", TRUTHS)])
def test_broken_json_gives_a_score_or_one_line(scored, kind, doors):
    tried = scores = 0
    for task, (option, document) in doors.items():
        for content in broken_documents(document):
            found = scored(task, **{option: ("broken.json", content)})
            tried, scores = tried + 1, scores + isinstance(found, dict)
    assert tried >= 400 and 0 < scores < tried / 2


def test_broken_tables_give_a_score_or_one_line(scored):
    tried = 0
    fields = ["", "x", "1_0", "-1", "nan", "inf", "1e999", "1,5", '"', "\x00", "\ud800", "1 2", "24 0.1"]
    texts = {
        "predictions": ("p.txt", THUMOS_TEXT, ["video_test_0000004 0.2", "0.2", "1.1", " 23", "0.9", "\n"]),
        "ground_truth": ("g.csv", THUMOS_CSV, ["video_test_0000004", "CricketBowling", "0.2", "1.1", ",6,", "end,"]),
    }
    both = {option: (name, text) for option, (name, text, _) in texts.items()}
    for option, (name, text, parts) in texts.items():
        contents = [text.replace(part, odd, 1) for part in parts for odd in fields]
        contents += [text[: len(text) * k // 12] for k in range(12)]
        raw = [content.encode("utf-8", "surrogatepass") for content in contents]
        raw += [text.encode("utf-16"), text.encode() + b"\xff", text.encode("utf-8-sig"), b""]
        for content in raw:
            scored("detection", "--dataset", "thumos14", **both | {option: (name, content)})
            tried += 1
    assert tried >= 180
