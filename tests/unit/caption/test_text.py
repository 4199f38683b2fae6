"""Reading, cleaning, tokens, vocabulary, word vectors."""

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsp.caption.text import (
    END,
    START,
    UNKNOWN,
    Vocabulary,
    clean,
    read_available,
    read_events,
    read_vectors,
    write_references,
)
from tsp.caption.tokens import tokeniser
from tsp.errors import TspError
from tsp.types import Video

TOKENS = ["a", "man", "is", "n't", "running", ",", "but", "he", "'s", '"', "walking", '"', "3.5", "miles"]
SENTENCE = "A man isn't running, but he's \"walking\" 3.5 miles"


def test_cleaning():
    assert clean(" It\u2019s 3.5 m.\n Wait...  he\t\tstops. ") == "It's 3.5 m Wait he stops"
    assert clean("end.") == "end"
    assert clean("a.5 b.c") == "a.5 bc"


@given(st.text())
def test_cleaning_leaves_no_edges_and_no_newline(text):
    found = clean(text)
    assert found == found.strip()
    assert "\n" not in found


def test_tokens():
    assert tokeniser("simple")(SENTENCE) == TOKENS


def test_tokens_of_spacy():
    pytest.importorskip("spacy")
    assert tokeniser("spacy")(SENTENCE) == TOKENS


def test_vocabulary():
    vocabulary = Vocabulary.of([["b", "a", "c"], ["b", "c", "é"]])
    assert vocabulary.words == (" UNK ", "<blank>", "<s>", "</s>", "b", "c", "a", "é")
    assert vocabulary.encode(["a", "zebra"]) == [START, 6, UNKNOWN, END]
    assert vocabulary.sentence([6, 4, END, 5, 5]) == "A b"
    assert vocabulary.sentence([END]) == ""
    with pytest.raises(TspError, match="starts with"):
        Vocabulary(["the", "a"])


@pytest.mark.parametrize("zipped", [False, True])
def test_word_vectors(tmp_path, zipped):
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2\nnew york 3 4\nA 5 6\nUNK 7 8\n", encoding="utf-8")
    if zipped:
        with zipfile.ZipFile(tmp_path / "glove.zip", "w") as archive:
            archive.write(path, "glove.txt")
        path = tmp_path / "glove.zip"
    found = read_vectors(path, [" UNK ", "the", "a", "new york", "the "])
    # Words are looked up as they are but for white space around them; those without a vector get zeros.
    np.testing.assert_array_equal(found, [[7, 8], [1, 2], [0, 0], [3, 4], [1, 2]])


@pytest.mark.parametrize("content", ["", "the 1 2\na 1 x\n"])
def test_broken_word_vectors(tmp_path, content):
    (tmp_path / "glove.txt").write_text(content)
    with pytest.raises(TspError, match=r"line 2|empty"):
        read_vectors(tmp_path / "glove.txt", ["the", "a"])


def entry(duration=10):
    return {"duration": duration, "timestamps": [[0, 5]], "sentences": [" Hi. "]}


def test_events_of_available_videos(tmp_path):
    path, listed = tmp_path / "train.json", tmp_path / "available.txt"
    path.write_text(json.dumps({"v_a": entry(), "v_b": entry(), "v_c": entry()}))
    listed.write_text("v_c\nv_a\n")
    events = read_events(path, read_available(listed))
    assert [e.video for e in events] == ["v_a", "v_c"]
    assert (events[0].sentence, events[0].caption, events[0].duration_s) == (" Hi. ", "Hi", 10.0)
    with pytest.raises(TspError, match="no segment"):
        read_events(path, {"a"})


@pytest.mark.parametrize("duration", [0, None, "10"])
def test_duration_must_be_there(tmp_path, duration):
    (tmp_path / "train.json").write_text(json.dumps({"v_a": entry(duration)}))
    with pytest.raises(TspError, match="duration"):
        read_events(tmp_path / "train.json")


def test_references_of_annotations(tmp_path):
    def video(name, captions, duration_s=9):
        extra = {"captions": captions}
        return Video(name=name, filename=f"v_{name}.mp4", subset="t", duration_s=duration_s, segments=(), extra=extra)

    told = [{"segment": [1, 2], "sentence": "Hi."}, {"segment": [2, 9], "sentence": "Ho."}]
    write_references(tmp_path / "x.json", [video("a", told), video("gone", [])])
    events = read_events(tmp_path / "x.json")
    assert [(e.video, e.start_s, e.end_s, e.caption) for e in events] == [("v_a", 1, 2, "Hi"), ("v_a", 2, 9, "Ho")]
    with pytest.raises(TspError, match="no duration"):
        write_references(tmp_path / "x.json", [video("a", told, None)])
    with pytest.raises(TspError, match="expected objects with 'segment'"):
        write_references(tmp_path / "x.json", [video("a", ["Hi."])])
