"""Both trainings from files to files, and what is made with their weights."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from unit.caption.make import CONFIG, SENTENCES, data_set

from tsp.caption import train as training
from tsp.caption.infer import caption_annotated, caption_proposals, propose, segment_scores
from tsp.caption.model import load_captioner, load_proposer
from tsp.caption.train import train_captioner, train_proposals
from tsp.encoders.weights import load_state
from tsp.errors import TspError
from tsp.io.captions import CaptionedEvent, read_captions
from tsp.io.files import read_json
from tsp.pretrain.config import ReleasedFile
from tsp.training import checkpoint, fit


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return data_set(tmp_path_factory.mktemp("data"))


def captioner(folder, sources, config=CONFIG, **options):
    weights = folder / "captioner.safetensors"
    train_captioner(config, sources, vectors=None, seed=0, weights=weights, work=folder / "work", **options)
    return weights


def proposer(folder, sources, weights, config=CONFIG):
    output = folder / "proposals.safetensors"
    train_proposals(config, sources, captioner=weights, seed=0, weights=output, work=folder / "work2")
    return output


def equal(a, b):
    first, second = load_state(a), load_state(b)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Stopped(Exception):
    pass


def stop_after(monkeypatch, steps):
    """Let training die after so many optimiser steps."""
    step, done = fit._Fit._step, []

    def counted(self, *args):
        if len(done) == steps:
            raise Stopped
        done.append(1)
        step(self, *args)

    monkeypatch.setattr(fit._Fit, "_step", counted)


@pytest.mark.parametrize("steps", [3, 5])
def test_interrupted_equals_uninterrupted(tmp_path, sources, monkeypatch, steps):
    """Both networks, stopped within an epoch; with dropout, and with a short batch left out."""
    trainer = replace(CONFIG.captioner.trainer, checkpoint_every=1)
    own = replace(CONFIG.proposals.trainer, checkpoint_every=1, batch_size=3)
    config = replace(
        CONFIG,
        captioner=replace(CONFIG.captioner, trainer=trainer),
        proposals=replace(CONFIG.proposals, trainer=own),
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    first = captioner(whole, sources, config)
    second = proposer(whole, sources, first, config)
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        with pytest.raises(Stopped):
            captioner(cut, sources, config)
    weights = captioner(cut, sources, config)
    assert equal(first, weights)
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        with pytest.raises(Stopped):
            proposer(cut, sources, weights, config)
    assert equal(second, proposer(cut, sources, weights, config))
    assert not (cut / "work" / checkpoint.STATE).exists()


def test_captioner_learns_what_it_sees(tmp_path, sources):
    trainer = replace(CONFIG.captioner.trainer, epochs=25, patience=None)
    config = replace(CONFIG, captioner=replace(CONFIG.captioner, trainer=trainer, dropout=0.0))
    weights = captioner(tmp_path, sources, config)
    annotated = tmp_path / "annotated.json"
    caption_annotated(config, sources.valid, 0, weights=weights, output=annotated)
    found = read_captions(annotated)
    truth = read_json(sources.valid.references[0])
    assert list(found) == list(truth)
    right = [
        e.sentence == s.rstrip(".").capitalize()
        for name, events in found.items()
        for e, s in zip(events, truth[name]["sentences"], strict=True)
    ]
    assert np.mean(right) > 0.8


def test_vocabulary_is_kept_with_the_weights(tmp_path, sources):
    weights = captioner(tmp_path, sources)
    trained = load_captioner(weights, CONFIG)
    words = " ".join(SENTENCES).lower().replace(".", "").split()
    assert set(trained.vocabulary.words[4:]) == set(words)
    assert trained.widths == (4, 6)
    facts = read_json(weights.with_suffix(".json"))
    assert facts["config"]["word_width"] == 16
    assert len(facts["epochs"]) == 3
    assert len(weights.with_suffix(".jsonl").read_text().splitlines()) >= 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory, sources):
    folder = tmp_path_factory.mktemp("trained")
    weights = captioner(folder, sources)
    return weights, proposer(folder, sources, weights)


def test_proposals_take_over_the_encoder_and_keep_it(trained):
    first, second = load_state(trained[0]), load_state(trained[1])
    shared = [name for name in second if name.startswith("encoder.")]
    assert len(shared) > 20
    assert all(torch.equal(first[name], second[name]) for name in shared)
    model, widths = load_proposer(trained[1], CONFIG)
    assert widths == (4, 6)
    assert (model.audio.sizes.diff() > 0).all()
    assert model.video.step_s == 1.0


def test_proposals_and_their_captions(trained, sources, tmp_path):
    propose(CONFIG, sources.valid, weights=trained[1], output=tmp_path / "p.json")
    files = {"proposals": tmp_path / "p.json", "output": tmp_path / "c.json"}
    caption_proposals(CONFIG, sources.valid, weights=trained[0], **files)
    proposals, captions = read_captions(tmp_path / "p.json"), read_captions(tmp_path / "c.json")
    assert proposals
    for name, events in proposals.items():
        assert len(events) <= CONFIG.proposals.most
        assert [(e.start_s, e.end_s, e.score) for e in events] == [
            (e.start_s, e.end_s, e.score) for e in captions[name]
        ]
        assert all(0 <= e.start_s < e.end_s <= 16 for e in events)
        assert all(e.sentence for e in captions[name])


def test_caption_of_a_video_without_duration(trained, sources, tmp_path):
    (tmp_path / "p.json").write_text(json.dumps({"results": {"v_other": []}}))
    with pytest.raises(TspError, match="'v_other' is not in"):
        files = {"proposals": tmp_path / "p.json", "output": tmp_path / "c.json"}
        caption_proposals(CONFIG, sources.valid, weights=trained[0], **files)


def test_scores_of_segments():
    def event(start, end):
        return CaptionedEvent(start_s=start, end_s=end, sentence="x")

    truths = [{"a": [event(0, 10), event(20, 30)], "b": [event(0, 4)]}, {"a": [event(0, 10)]}]
    found = segment_scores(truths, {"a": [event(0, 10), event(50, 60), event(0, 8)]})
    # At 0.9 only the first proposal matches, else two of three; the second set of segments is found whole.
    assert found["precision"] == pytest.approx(np.mean([2 / 3, 2 / 3, 2 / 3, 1 / 3]) / 2)
    assert found["recall"] == pytest.approx(0.5)
    assert segment_scores(truths, {})["F1"] == 0.0


def test_meteor_picks_the_epoch_where_asked(tmp_path, sources, monkeypatch):
    """Every reference file is scored by itself, at tIoU 0.5; the mean decides."""
    calls = []

    class Result:
        def average(self, metric):
            assert metric == "METEOR"
            return 0.1 * len(calls)

    def evaluate(references, found, tious, meteor):
        calls.append((references, found, tious, meteor))
        return Result()

    running = iter(["first", "second", "third"])
    monkeypatch.setattr(training, "evaluate", evaluate)
    monkeypatch.setattr(training, "Meteor", lambda: nullcontext(next(running)))
    config = replace(CONFIG, captioner=replace(CONFIG.captioner, metric="METEOR"))
    twice = replace(sources, valid=replace(sources.valid, references=[sources.valid.references[0]] * 2))
    facts = read_json(captioner(tmp_path, twice, config).with_suffix(".json"))
    assert facts["best_epoch"] == 2
    assert facts["epochs"][0]["valid/METEOR"] == pytest.approx(0.15)
    assert len(calls) == 2 * 3
    # Java starts once an epoch, not once a file.
    assert [meteor for *_, meteor in calls] == ["first", "first", "second", "second", "third", "third"]
    references, found, tious, _ = calls[0]
    assert tious == [0.5]
    assert sum(map(len, found.values())) == sum(map(len, references[0].values())) == 8
    assert references[0]["v_valid0"][0].sentence == SENTENCES[0]


def test_word_vectors_and_option_belong_together(tmp_path, sources):
    options = replace(CONFIG.captioner, vectors=ReleasedFile(path="x"), train_vectors=False)
    with pytest.raises(TspError, match="required if and only if the option `vectors` is set"):
        captioner(tmp_path, sources, replace(CONFIG, captioner=options))


def test_given_word_vectors_stay_as_they_are(tmp_path, sources):
    glove = tmp_path / "glove.txt"
    glove.write_text("red 1 2 3\nblue -1 -2 -3\n")
    options = replace(CONFIG.captioner, vectors=ReleasedFile(path=str(glove)), train_vectors=False)
    config = replace(CONFIG, captioner=options)
    weights = tmp_path / "c.safetensors"
    train_captioner(config, sources, vectors=glove, seed=0, weights=weights, work=tmp_path / "work")
    trained = load_captioner(weights, config)
    table = trained.model.table.weight
    assert table[trained.vocabulary.words.index("red")].tolist() == [1, 2, 3]
    assert table.abs().sum() == 12


def test_another_configuration_is_not_continued(tmp_path, sources, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(Stopped):
            captioner(tmp_path, sources)
    config = replace(CONFIG, captioner=replace(CONFIG.captioner, smoothing=0.5))
    with pytest.raises(TspError, match="another configuration"):
        captioner(tmp_path, sources, config)
