"""Which captions meet which references, and what is made of their scores; without Java."""

import json

import numpy as np
import pytest

from tsp.errors import TspError
from tsp.evaluation import captions
from tsp.evaluation.captions import TEXT_METRICS, caption_scores, evaluate, scores_json
from tsp.io.captions import CaptionedEvent


class Shares:
    """In METEOR's place: the share of pairs that are equal; remembers all pairs."""

    seen: list

    def __init__(self):
        Shares.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def score(self, pairs):
        Shares.seen.append(list(pairs))
        return float(np.mean([a == b for a, b in pairs])), []


@pytest.fixture(autouse=True)
def without_java(monkeypatch):
    monkeypatch.setattr(captions, "Meteor", Shares)
    monkeypatch.setattr(captions, "tokenise", lambda sentences: {s: s.lower() for s in sentences})


def event(start, end, sentence):
    return CaptionedEvent(start_s=start, end_s=end, sentence=sentence)


TRUTH = {"v_a": [event(0, 10, "a dog runs"), event(0, 8, "a dog walks"), event(50, 60, "it sleeps")]}


def test_every_reference_that_overlaps_enough_makes_a_pair():
    found = {"v_a": [event(0, 10, "A dog runs"), event(20, 30, "nothing here")]}
    evaluate([TRUTH, {"v_a": [event(0, 9, "the other")]}], found, (0.5, 0.85))
    low, high = Shares.seen
    assert [r for h, r in low if h == "a dog runs"] == ["a dog runs", "a dog walks", "the other"]
    assert [r for h, r in high if h == "a dog runs"] == ["a dog runs", "the other"]
    (letters,) = [r for h, r in low if h == "nothing here"]
    assert 10 <= len(letters) <= 20
    assert letters.isalpha()
    assert (("nothing here", letters) in high) is True


def test_the_threshold_itself_is_enough_for_a_caption_but_not_for_a_proposal(monkeypatch):
    monkeypatch.setattr(captions, "TINY", 0.0)
    result = evaluate([{"v_a": [event(0, 10, "x")]}], {"v_a": [event(0, 5, "x")]}, (0.5,))
    assert result.average("METEOR") == 1
    assert result.average("precision") == result.average("recall") == result.average("F1") == 0


def test_videos_are_averaged_and_missing_ones_score_0():
    result = evaluate([TRUTH, {"v_b": [event(0, 1, "x")]}], {"v_a": TRUTH["v_a"][:2], "v_b": []}, (0.5,))
    assert result.videos == ("v_a", "v_b")
    assert result.scores["METEOR"].tolist() == [[0.5, 0]]  # each of both also meets the other's sentence
    assert result.average("precision") == 0.5
    assert result.average("recall") == pytest.approx(1 / 3)
    assert result.average("F1") == pytest.approx(2 * 0.5 / 3 / (0.5 + 1 / 3))
    assert result.counts["videos_without_predictions"] == 1


def test_scores_at_one_threshold():
    """Of the two predictions one lies on its sentence, the other overlaps it by half."""
    found = {"v_a": [event(0, 10, "x"), event(20, 25, "y")]}
    result = evaluate([{"v_a": [event(0, 10, "x"), event(20, 30, "y")]}], found, (0.4, 0.9))
    assert (result.at("precision", 0.4), result.at("precision", 0.9)) == (1.0, 0.5)
    assert result.average("precision") == 0.75
    with pytest.raises(ValueError):
        result.at("precision", 0.5)


def test_precision_and_recall_take_the_best_reference_file_each():
    second = {"v_a": [event(0, 10, "x"), event(20, 30, "y"), event(40, 50, "z"), event(80, 90, "w")]}
    found = {"v_a": [event(0, 10, "x"), event(20, 30, "y"), event(40, 50, "z")]}
    result = evaluate([second, {"v_a": [event(0, 10, "x")]}], found, (0.5,))
    assert (result.average("precision"), result.average("recall")) == (1, 1)


def test_a_union_is_at_most_the_sum_of_the_lengths():
    overlap = captions._overlap([event(0, 10, "x"), event(20, 30, "x"), event(5, 5, "x")], [event(5, 15, "y")])
    np.testing.assert_allclose(overlap[:, 0], [5 / 15, 0, 0], rtol=0, atol=1e-9)


def test_one_pair_alone_has_no_cider_and_no_words_no_scores():
    scores = dict(
        zip(TEXT_METRICS, captions.text_scores([("a dog runs here", "a dog runs here")], Shares()), strict=True)
    )
    assert (scores["CIDEr"], scores["ROUGE-L"]) == (0, 1)
    assert scores["BLEU@4"] == pytest.approx(1, abs=1e-8)
    assert captions.text_scores([("a", ""), ("b", "")], Shares())[-1] == 0
    assert captions.text_scores([], Shares()) == (0,) * 7


def files(folder, found):
    truth = {
        v: {"timestamps": [[e.start_s, e.end_s] for e in r], "sentences": [e.sentence for e in r]}
        for v, r in TRUTH.items()
    }
    (folder / "r.json").write_text(json.dumps(truth))
    (folder / "p.json").write_text(json.dumps({"results": found}))
    return [folder / "r.json"], folder / "p.json"


def test_only_the_first_predictions_count(tmp_path, caplog):
    good, bad = ({"timestamp": [s, s + 10], "sentence": "a dog runs"} for s in (0, 20))
    paths = files(tmp_path, {"v_a": [good, bad], "v_x": [good]})
    assert caption_scores(*paths).average("precision") == 0.5
    result = caption_scores(*paths, most=1)
    assert result.average("precision") == 1
    assert "1 predictions are in videos without reference" in caplog.text
    scores = scores_json(result)
    assert list(scores["per_tiou"]) == ["0.30", "0.50", "0.70", "0.90"]
    assert set(scores["average"]) == {*TEXT_METRICS, "precision", "recall", "F1"}
    assert scores["options"] == {"references": ["r.json"], "most": 1, "chosen_videos": False}


def test_chosen_videos(tmp_path):
    paths = files(tmp_path, {})
    assert caption_scores(*paths, only={"v_a"}).videos == ("v_a",)
    with pytest.raises(TspError, match="none of the chosen videos"):
        caption_scores(*paths, only={"v_b"})
    with pytest.raises(TspError, match="at least one"):
        caption_scores(*paths, most=0)
