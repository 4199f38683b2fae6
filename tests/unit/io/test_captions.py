"""Caption files: round trips, and messages for invalid files."""

import json

import pytest

from tsp.errors import TspError
from tsp.io.captions import CaptionedEvent, read_captions, read_references, write_captions

EVENT = CaptionedEvent(start_s=0.1, end_s=2.0, sentence="Ein Hund läuft.", score=0.25)


def test_round_trip(tmp_path):
    plain = CaptionedEvent(start_s=3, end_s=4, sentence="")
    write_captions(tmp_path / "p.json.gz".removesuffix(".gz"), {"v_a": [EVENT, plain], "v_b": []}, version="x")
    assert read_captions(tmp_path / "p.json") == {"v_a": [EVENT, plain], "v_b": []}
    assert read_captions(tmp_path / "p.json", most=1)["v_a"] == [EVENT]
    # The official script requires all three.
    assert set(json.loads((tmp_path / "p.json").read_text())) == {"version", "external_data", "results"}


def test_a_time_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(TspError, match=r"results\['v_a'\]\[0\]: a time or score is not finite"):
        write_captions(
            tmp_path / "p.json", {"v_a": [CaptionedEvent(start_s=0, end_s=float("nan"), sentence="")]}, version="x"
        )
    assert not list(tmp_path.iterdir())


def test_a_score_as_a_list_of_one_is_read(tmp_path):
    entry = {"timestamp": ["0.1", 2], "sentence": EVENT.sentence, "proposal_score": [0.25]}
    (tmp_path / "p.json").write_text(json.dumps({"results": {"v_a": [entry]}}))
    assert read_captions(tmp_path / "p.json") == {"v_a": [EVENT]}


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("", "empty"),
        ("[1]", "expected a JSON object, found list"),
        ("{}", "no 'results' object"),
        ('{"results": {"v_a": 1}}', r"results\['v_a'\] is not a list"),
        ('{"results": {"v_a": [[0, 1]]}}', r"\[0\]: expected an object with timestamp"),
        ('{"results": {"v_a": [{"timestamp": [0, 1], "sentence": null}]}}', "the sentence is None"),
        ('{"results": {"v_a": [{"timestamp": [0], "sentence": ""}]}}', "expected \\[start, end\\]"),
        ('{"results": {"v_a": [{"timestamp": [0, NaN], "sentence": ""}]}}', "not finite"),
        (
            '{"results": {"v_a": [{"timestamp": [0, 1], "sentence": "", "proposal_score": [1, 2]}]}}',
            "at most one score",
        ),
    ],
)
def test_bad_submissions_are_named(tmp_path, document, text):
    (tmp_path / "p.json").write_text(document)
    with pytest.raises(TspError, match=text) as error:
        read_captions(tmp_path / "p.json")
    assert "p.json" in str(error.value)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("{}", "no video"),
        ('{"v_a": {"timestamps": [[0, 1]], "sentences": []}}', "'v_a': expected timestamps and as many sentences"),
        ('{"v_a": {"timestamps": [[0, 1]]}}', "'v_a': expected timestamps"),
        ('{"v_a": 3}', "'v_a': expected timestamps"),
        ('{"v_a": {"timestamps": [[0, "x"]], "sentences": [""]}}', r"timestamps and sentences \[0\]"),
    ],
)
def test_bad_references_are_named(tmp_path, document, text):
    (tmp_path / "r.json").write_text(document)
    with pytest.raises(TspError, match=text):
        read_references(tmp_path / "r.json")
