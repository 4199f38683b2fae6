"""METEOR 1.5 and the other scores of captions on the worked pairs (bmt.md 8a), by the official programs."""

from pathlib import Path

import pytest

from tsp.evaluation.captions import TEXT_METRICS, caption_scores, evaluate, text_scores
from tsp.evaluation.meteor import Meteor, tokenise
from tsp.io.captions import CaptionedEvent, read_references, write_captions

PAIRS = [
    ("A man is running on a track.", "A man is running on a track.", 1.0, 1.0, 10.0),
    ("A man is running on a track.", "A person runs along a track.", 0.4021, 0.4680, 0.8052),
    ("the cat sat on the mat", "the mat sat on the cat", 0.4777, 0.6667, 5.1250),
    (
        "a woman is dancing in a room",
        "A young woman is seen standing in a room and leads into her dancing.",
        *(0.2340, 0.5390, 1.3147),
    ),
    ("people play soccer", "two men are fixing a bicycle in a garage", 0.0575, 0.0, 0.0),
    ("she demonstrates how to make a dish", "She shows how to cook a meal.", 0.3484, 0.5714, 1.5724),
    ("a", "the dog barks", 0.0, 0.0, 0.0),
    ("", "the dog barks", 0.0, 0.0, 0.0),
    ("a dog runs", "qzxwvkjhgfdsa", 0.0, 0.0, 0.0),
    ("He isn't happy, but she's smiling!", "he is not happy but she is smiling", 0.3791, 0.7500, 3.3750),
]
ALL = (0.4959, 0.4053, 0.3116, 0.2468, 0.2907, 0.3995, 2.2192)
STATISTICS = "7 6 4 2 1 1 2 2 1 1 0 0 0 1 1 0 1 1 0 0 2 6 6"


@pytest.fixture(scope="module")
def pairs():
    tokens = tokenise(text for hypothesis, reference, *_ in PAIRS for text in (hypothesis, reference))
    return [(tokens[hypothesis], tokens[reference]) for hypothesis, reference, *_ in PAIRS]


@pytest.fixture(scope="module")
def meteor():
    with Meteor() as running:
        yield running


def test_tokens():
    found = tokenise(["He isn't happy, but she's smiling!", "a (b)\r\n- c…d", "", "3.5 miles...", "...", "\u2028"])
    assert list(found.values()) == [
        "he is n't happy but she 's smiling",
        "a -lrb- b -rrb- c d",
        "",
        "3.5 miles",
        "",
        "",
    ]


def test_meteor(pairs, meteor):
    together, single = meteor.score(pairs)
    assert single == pytest.approx([meteor for _, _, meteor, *_ in PAIRS], abs=1e-4)
    assert together == pytest.approx(0.2907, abs=1e-4)
    assert [float(n) for n in meteor.statistics(pairs)[1].split()] == [float(n) for n in STATISTICS.split()]


def test_text_scores(pairs, meteor):
    assert text_scores(pairs, meteor) == pytest.approx(ALL, abs=1e-4)


def test_rouge_and_cider_of_each_pair(pairs):
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    hypotheses, references = ({n: [p[side]] for n, p in enumerate(pairs)} for side in (0, 1))
    assert Rouge().compute_score(references, hypotheses)[1] == pytest.approx([p[3] for p in PAIRS], abs=1e-4)
    assert Cider().compute_score(references, hypotheses)[1] == pytest.approx([p[4] for p in PAIRS], abs=1e-4)


def test_the_worked_pairs_as_a_video():
    """Each prediction lies on one reference: the file's scores are those of the ten pairs."""
    times = [{"start_s": 10.0 * n, "end_s": 10.0 * n + 9} for n in range(len(PAIRS))]
    found = [CaptionedEvent(sentence=p[0], **t) for p, t in zip(PAIRS, times, strict=True)]
    truth = [CaptionedEvent(sentence=p[1], **t) for p, t in zip(PAIRS, times, strict=True)]
    result = evaluate([{"v_a": truth}], {"v_a": found}, (0.5, 0.9))
    assert [result.average(metric) for metric in TEXT_METRICS] == pytest.approx(list(ALL), abs=1e-4)
    assert result.average("F1") == 1


def test_nothing_is_written_beside_the_programs():
    import pycocoevalcap

    def files():
        (folder,) = map(Path, pycocoevalcap.__path__)
        return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if "__pycache__" not in p.parts}

    before = files()
    tokenise(["A man runs."])
    assert files() == before


def test_official_references(shared, tmp_path):
    """Two videos of val_1 that describe themselves: every score but those of chance overlaps is full."""
    references = read_references(shared / "bmt" / "val_1.json.gz")
    assert (len(references), sum(map(len, references.values()))) == (4917, 17505)
    chosen = {v: r for v, r in references.items() if len({(e.start_s, e.end_s) for e in r}) == len(r) > 2}
    few = dict(list(chosen.items())[:2])
    write_captions(tmp_path / "p.json", few, version="references")
    result = caption_scores([shared / "bmt" / "val_1.json.gz"], tmp_path / "p.json", (0.95,), only=frozenset(few))
    assert result.average("F1") == 1
    assert result.average("METEOR") == pytest.approx(1, abs=1e-9)
    assert result.average("BLEU@4") == pytest.approx(1, abs=1e-6)
