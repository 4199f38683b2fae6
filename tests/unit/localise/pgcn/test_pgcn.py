import dataclasses
import inspect
import json
import os
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from unit.localise.make import LABELS, SUBSETS, make_set, raw_of, side

from tsp.cli import main
from tsp.config.load import write_config
from tsp.encoders.weights import load_state
from tsp.errors import TspError
from tsp.io.annotations import read_annotations, write_annotations
from tsp.io.features import FeatureFile, feature_writer
from tsp.io.files import write_json
from tsp.io.predictions import read_predictions, write_predictions
from tsp.localise.maps.candidates import unsuppressed
from tsp.localise.maps.detections import Selection
from tsp.localise.method import Method, Raw, TrainingInputs, candidates_of
from tsp.localise.nms import Suppression
from tsp.localise.pgcn import method as pgcn
from tsp.localise.pgcn.config import PgcnTrainer
from tsp.localise.pgcn.data import Neighbourhoods, read_source, split, trainables
from tsp.localise.pgcn.detections import (
    Outputs,
    fuse_streams,
    hard_nms,
    read_outputs,
    refined,
    refined_proposals,
    write_outputs,
)
from tsp.localise.pgcn.graphs import neighbour_slots
from tsp.localise.pgcn.method import Config, Pgcn, PgcnTask, activity_loss, completeness_loss, outputs, regression_loss
from tsp.localise.pgcn.proposal_lists import Clock, from_predictions, write_proposals
from tsp.localise.pgcn.proposal_types import target_statistics
from tsp.localise.windows import Windows
from tsp.sweep import Inputs, sweep
from tsp.types import Video

SMALL = Config(
    pooling="time",
    hidden=8,
    graph_dropout=0.2,
    dropout=0.2,
    lr=0.02,
    multiplier=4,
    trainer=PgcnTrainer(epochs=6, batch_size=4, milestones=(5,), validate_every=1),
)
RULE = Suppression(divisor=0.8, keep=100)


def segments_of(video, rng, n=40):
    """Proposals about the action of a video and elsewhere."""
    truth = np.array([(s.start_s, s.end_s) for s in video.segments])
    moved = truth[rng.integers(len(truth), size=n)] + rng.normal(size=(n, 2)) * rng.choice([0.3, 3.0], (n, 1))
    # None much longer than an action: what is pooled by its largest value says little of how much lies beside it.
    anywhere = rng.uniform(0, video.duration_s, (n, 1)) + [0, 1] * rng.uniform(2, 9, (n, 1))
    return np.sort(np.clip(np.concatenate([moved, anywhere]), 0, video.duration_s), axis=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data set with proposals, and one training on it."""
    folder = tmp_path_factory.mktemp("pgcn")
    videos = make_set(folder)
    rng = np.random.default_rng(0)
    found = {v.name: (segments_of(v, rng), rng.random(80)) for v in videos}
    for name, official in SUBSETS.items():
        write_proposals(
            found,
            annotations=folder / "annotations.json",
            subset=official,
            metadata=None,
            keep=60,
            output=folder / f"{name}.txt",
        )
    train(folder, folder / "seed0")
    return folder


def train(data, output, seed=0, config=SMALL):
    inputs = TrainingInputs(train=side(data, "train", listed=True), valid=side(data, "valid", listed=True))
    weights = output / "weights.safetensors"
    pgcn.train(config, inputs, seed=seed, weights=weights, work=output / "work", device="cpu")
    return weights.read_bytes()


def infer(data, output, config=SMALL):
    inputs = side(data, "valid", listed=True)
    pgcn.infer(config, inputs, weights=data / "seed0/weights.safetensors", output=output, device="cpu")
    classes, videos = read_outputs(output)
    return classes, {video.name: video for video in videos}


def post_process(data, raw, config=SMALL, labels=None):
    output = raw.with_suffix(".json")
    pgcn.post_process(config, raw_of(data, raw), labels=labels, output=output)
    return read_predictions(output)


@pytest.mark.parametrize("name", ["train", "infer", "post_process", "propose"])
def test_the_module_offers_what_the_contract_says(name):
    ours = inspect.signature(getattr(pgcn, name)).parameters
    stated = [p for p in inspect.signature(getattr(Method, name)).parameters.values() if p.name != "self"]
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [(p.name, p.kind, p.default) for p in stated]


def test_training_learns_and_writes_weights_facts_and_log(data, tmp_path):
    folder = data / "seed0"
    assert sorted(p.name for p in folder.iterdir()) == ["log.jsonl", "weights.json", "weights.safetensors", "work"]
    facts = json.loads((folder / "weights.json").read_text())
    assert facts["classes"] == LABELS
    losses = [epoch["train/activity"] for epoch in facts["epochs"]]
    assert losses[-1] < 0.8 * losses[0]


def test_same_seed_same_bits(data, tmp_path):
    first = (data / "seed0/weights.safetensors").read_bytes()
    assert train(data, tmp_path / "again") == first
    assert train(data, tmp_path / "other", seed=1) != first


@pytest.mark.parametrize("after", [2, 4])
def test_interrupted_training_ends_with_the_same_bits(data, tmp_path, monkeypatch, after):
    """Between epochs and inside one."""
    config = replace(SMALL, trainer=replace(SMALL.trainer, checkpoint_every=1))
    loss, calls = PgcnTask.loss, []

    def dying(self, batch):
        calls.append(1)
        if len(calls) == after + 6:
            raise KeyboardInterrupt
        return loss(self, batch)

    monkeypatch.setattr(PgcnTask, "loss", dying)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path, config=config)
    assert (tmp_path / "work/state.pt").exists()
    assert train(data, tmp_path, config=config) == (data / "seed0/weights.safetensors").read_bytes()


def test_a_work_folder_of_other_proposals_is_refused(data, tmp_path, monkeypatch):
    calls = []
    loss = PgcnTask.loss
    config = replace(SMALL, trainer=replace(SMALL.trainer, checkpoint_every=1))

    def dying(self, batch):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return loss(self, batch)

    monkeypatch.setattr(PgcnTask, "loss", dying)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path, config=config)
    with pytest.raises(TspError, match="another configuration"):
        train(data, tmp_path, config=replace(config, context_tiou=0.6))


def test_detections_find_the_actions(data, tmp_path):
    classes, videos = infer(data, tmp_path / "raw.h5")
    assert classes == LABELS
    assert sorted(videos) == ["11", "2", "5", "8"]
    found = post_process(data, tmp_path / "raw.h5")
    truth = {v.name: v for v in read_annotations(data / "annotations.json")}
    hits = 0
    for name, entries in found.items():
        scores = [e["score"] for e in entries]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= e["segment"][0] < e["segment"][1] <= truth[name].duration_s + 1 for e in entries)
        (action,) = truth[name].segments
        start, end = entries[0]["segment"]
        overlap = min(end, action.end_s) - max(start, action.start_s)
        hits += overlap / (max(end, action.end_s) - min(start, action.start_s)) > 0.5
    assert hits >= 3


def test_inference_is_the_same_every_time_and_sampling_differs(data, tmp_path):
    ours, again = infer(data, tmp_path / "a.h5")[1], infer(data, tmp_path / "b.h5")[1]
    drawn = infer(data, tmp_path / "c.h5", replace(SMALL, neighbours="sampled"))[1]
    for name, video in ours.items():
        np.testing.assert_array_equal(video.activity, again[name].activity)
        assert not np.array_equal(video.activity, drawn[name].activity)
        np.testing.assert_allclose(video.activity, drawn[name].activity, atol=1)


def test_order_of_the_proposals_is_of_no_account(data):
    torch.manual_seed(0)
    model = Pgcn(8, 2, SMALL).double().eval()
    sources = read_source(SMALL, side(data, "valid", listed=True))
    segments = np.unique(sources[0].listed.segments, axis=0)
    rng = np.random.default_rng(0)
    x, order = rng.random((len(segments), 24)), rng.permutation(len(segments))
    ours = outputs(SMALL, model, x, neighbour_slots(segments))
    moved = outputs(SMALL, model, x[order], neighbour_slots(segments[order]))
    same = [len(set(a)) for a in neighbour_slots(segments).tolist()]
    assert max(same) > 2
    close = [
        np.isclose(a[order].detach(), b.detach(), rtol=0, atol=1e-12).mean() for a, b in zip(ours, moved, strict=True)
    ]
    # Proposals whose neighbours tie may take others.
    assert min(close) > 0.9


def test_a_video_without_action_is_refined_too(data, tmp_path):
    videos = read_annotations(data / "annotations.json")
    bare = [replace(v, segments=()) if v.name == "5" else v for v in videos]
    write_annotations(tmp_path / "annotations.json", bare)
    for name in ("train.h5", "valid.h5", "valid.txt", "seed0"):
        (tmp_path / name).symlink_to(data / name)
    assert "5" in infer(tmp_path, tmp_path / "raw.h5")[1]


def test_a_video_without_proposals(data, tmp_path):
    lines = (data / "valid.txt").read_text().split("# ")
    empty = lines[1].split("\n")
    lines[1] = "\n".join([*empty[:6], "0", ""])
    (tmp_path / "valid.txt").write_text("# ".join(lines))
    for name in ("valid.h5", "annotations.json", "seed0"):
        (tmp_path / name).symlink_to(data / name)
    for config in (SMALL, replace(SMALL, neighbours="sampled")):
        _, videos = infer(tmp_path, tmp_path / "raw.h5", config)
        assert next(len(v.segments) for v in videos.values()) == 0
        found = post_process(tmp_path, tmp_path / "raw.h5", config)
        assert [len(entries) > 0 for entries in found.values()] == [False, True, True, True]


def test_video_level_classes(data, tmp_path):
    infer(data, tmp_path / "raw.h5")
    one = post_process(data, tmp_path / "raw.h5", replace(SMALL, video_classes=1), data / "labels.json")
    own = post_process(data, tmp_path / "raw.h5")
    truth = {v.name: v.segments[0].label for v in read_annotations(data / "annotations.json")}
    for name, entries in one.items():
        assert {e["label"] for e in entries} == {truth[name]}
        best = max(e["score"] for e in own[name] if e["label"] == truth[name])
        assert entries[0]["score"] == pytest.approx(best * (0.9 if truth[name] == LABELS[0] else 0.8))
    with pytest.raises(TspError, match="needs video-level scores"):
        post_process(data, tmp_path / "raw.h5", replace(SMALL, video_classes=1))
    write_json(tmp_path / "other.json", {"results": {name: [1.0] for name in one}, "class": ["swim"]})
    with pytest.raises(TspError, match="class 'swim' of video"):
        post_process(data, tmp_path / "raw.h5", replace(SMALL, video_classes=1), tmp_path / "other.json")


def made_outputs(n=6, seed=0, name="v"):
    rng = np.random.default_rng(seed)
    segments = np.sort(rng.random((n, 2)), axis=1)
    scores = rng.normal(size=(n, 3)), rng.normal(size=(n, 2)), rng.normal(size=(n, 2, 2)) * 0.1
    return Outputs(
        name=name, duration_s=10.0, segments=segments, activity=scores[0], completeness=scores[1], regression=scores[2]
    )


def test_streams_are_averaged_before_they_are_scored(tmp_path):
    first = made_outputs()
    second = dataclasses.replace(made_outputs(seed=1), segments=first.segments)
    for name, video in (("a", first), ("b", second)):
        write_outputs(tmp_path / f"{name}.h5", iter([video]), ["x", "y"], {})
    fuse_streams([tmp_path / "a.h5", tmp_path / "b.h5"], [1.2, 1.0], tmp_path / "both.h5")
    classes, videos = read_outputs(tmp_path / "both.h5")
    (video,) = videos
    assert classes == ["x", "y"]
    for key in ("activity", "completeness", "regression"):
        expected = (1.2 * getattr(first, key) + getattr(second, key)) / 2.2
        np.testing.assert_allclose(getattr(video, key), expected, atol=1e-6)


def test_the_command_fuses_with_the_published_weight(tmp_path, capsys):
    for name, seed in (("a", 0), ("b", 1)):
        video = replace(made_outputs(seed=seed), segments=made_outputs().segments)
        write_outputs(tmp_path / f"{name}.h5", iter([video]), ["x", "y"], {})
    files = [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]
    for options, weight in (([], 1.2), (["--weight", "2"], 2.0)):
        assert main(["fuse", *files, "--output", str(tmp_path / "both.h5"), *options]) == 0
        fuse_streams(files, [1.0, weight], tmp_path / "same.h5")
        assert (tmp_path / "both.h5").read_bytes() == (tmp_path / "same.h5").read_bytes()
    assert main(["fuse", *files, "--output", str(tmp_path / "none.h5"), "--weight", "0"]) == 1
    assert "error: 2 streams and 2 weights: expected one positive weight per stream" in capsys.readouterr().err
    assert not (tmp_path / "none.h5").exists()


def test_streams_with_other_classes_are_refused(tmp_path):
    for name, classes in (("a", ["x", "y"]), ("b", ["x", "z"])):
        write_outputs(tmp_path / f"{name}.h5", iter([made_outputs()]), classes, {})
    with pytest.raises(TspError, match="differ in their classes"):
        fuse_streams([tmp_path / "a.h5", tmp_path / "b.h5"], [1, 1], tmp_path / "both.h5")


def test_streams_of_other_proposals_are_refused(tmp_path):
    for name, videos in (("a", [made_outputs()]), ("b", [made_outputs(seed=1)]), ("c", [])):
        write_outputs(tmp_path / f"{name}.h5", iter(videos), ["x", "y"], {})
    for other in ("b", "c"):
        with pytest.raises(TspError, match="differ between streams"):
            fuse_streams([tmp_path / "a.h5", tmp_path / f"{other}.h5"], [1, 1], tmp_path / "both.h5")
    with pytest.raises(TspError, match="one positive weight per stream"):
        fuse_streams([tmp_path / "a.h5"], [1, 1], tmp_path / "both.h5")


def test_hard_nms():
    segments = np.array([[0, 10], [1, 11], [20, 30], [2, 12], [0, 10]], float)
    scores = np.array([0.5, 0.9, 0.1, 0.8, 0.5])
    assert hard_nms(segments, scores, 0.6).tolist() == [1, 2]
    # [1, 11] overlaps [2, 12] and [0, 10] by 9 / 11, and these two each other by 2 / 3.
    assert hard_nms(segments, scores, 0.81).tolist() == [1, 2]
    assert hard_nms(segments, scores, 9 / 11).tolist() == [1, 3, 0, 2]


def one_video(regression):
    """Two proposals of one class that overlap by 0.8, and a third, poor one."""
    activity = np.log(np.array([[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1]]))
    shift = np.zeros((3, 2, 2))
    shift[:, 0, 0] = regression
    segments = np.array([[0.1, 0.2], [0.11, 0.2], [0.6, 0.7]])
    return Outputs(
        name="v", duration_s=1.0, segments=segments, activity=activity, completeness=np.zeros((3, 2)), regression=shift
    )


def test_suppression_before_or_after_refinement():
    apart = one_video([0.0, 8.0, 0.0])
    found = {}
    for order in ("before", "after"):
        video = refined(replace(SMALL, top=None, nms=order), apart)
        found[order] = video.segments[video.classes == 0].round(3).tolist()
    assert found["before"] == [[0.1, 0.2], [0.6, 0.7]]
    assert found["after"] == [[0.1, 0.2], [0.83, 0.92], [0.6, 0.7]]


def test_a_proposal_is_proposed_once_by_its_best_class():
    found = refined_proposals(replace(SMALL, nms_threshold=None), one_video([1.0, 0.0, 0.0]))
    # The third is as good in either class; the first has moved by its length.
    assert found.segments.round(3).tolist() == [[0.2, 0.3], [0.11, 0.2], [0.6, 0.7]]
    np.testing.assert_allclose(found.scores, [0.8, 0.7, 0.1])
    assert len(refined_proposals(SMALL, one_video([0.0, 0.0, 0.0])).scores) == 2


def test_proposals_have_no_labels(data, tmp_path):
    infer(data, tmp_path / "raw.h5")
    pgcn.propose(SMALL, raw_of(data, tmp_path / "raw.h5"), output=tmp_path / "p.json")
    found = read_predictions(tmp_path / "p.json")
    assert sorted(found) == ["11", "2", "5", "8"]
    assert not any("label" in entry for entries in found.values() for entry in entries)
    assert all(0 < len(entries) <= 60 for entries in found.values())


def test_number_of_pairs_and_no_suppression():
    video = one_video([0.0, 0.0, 0.0])
    everything = refined(replace(SMALL, top=None, nms_threshold=None), video)
    assert len(everything.scores) == 6
    assert sorted(everything.classes.tolist()) == [0, 0, 0, 1, 1, 1]
    assert len(refined(replace(SMALL, top=2, nms_threshold=None), video).scores) == 2


def sample_of(data, config, index=0):
    sources = read_source(config, side(data, "train", listed=True))
    videos = trainables(config, sources, data / "train.h5")
    samples = Neighbourhoods(videos, config, target_statistics(v.pools for v in videos), 0, repeat=2, batch=4)
    return videos, samples


def test_samples_follow_from_seed_epoch_and_index(data):
    _, samples = sample_of(data, SMALL)
    first = samples.__getitems__([0, 5])
    assert first["features"].shape == (2, 8, 21, 24)
    again = samples.__getitems__([5, 0])
    for name, rows in first.items():
        assert torch.equal(rows[[1, 0]], again[name])
        assert torch.equal(rows[0], samples[0][name])
    samples.set_epoch(1)
    assert not torch.equal(samples[0]["features"], first["features"][0])


def test_an_epoch_is_cut_to_whole_batches(data):
    videos, samples = sample_of(data, SMALL)
    assert (len(videos), len(samples)) == (8, 16)
    odd = Neighbourhoods(videos, SMALL, (np.zeros(2), np.ones(2)), 0, repeat=3, batch=5)
    assert len(odd) == 20
    assert np.bincount(odd.order).tolist() == [3] * 8
    assert len(Neighbourhoods(videos, SMALL, (np.zeros(2), np.ones(2)), 0, batch=32)) == 8


def without_incomplete(data, empty):
    config = replace(SMALL, empty_pool=empty)
    _, samples = sample_of(data, config)
    for video in samples.videos:
        object.__setattr__(video.pools, "counts", (video.pools.counts[0], 0, 0))
    return samples.__getitems__([0, 1]), config


def test_a_missing_type_is_left_out_of_all_losses(data):
    batch, config = without_incomplete(data, "mask")
    assert batch["used"].tolist() == [[True] + [False] * 7] * 2
    scores = torch.randn(2, 8, 3, requires_grad=True)
    terms = [activity_loss(scores, batch), completeness_loss(scores[..., 1:], batch, config)]
    terms.append(regression_loss(torch.stack([scores[..., 1:]] * 2, -1), batch, 0.5))
    assert [float(t.count) for t in terms] == [2, 2, 2]
    (gradient,) = torch.autograd.grad(sum(t.sum for t in terms), scores)
    assert (gradient[:, 1:] == 0).all()
    assert (gradient[:, 0] != 0).any()


def test_foreground_in_its_place_as_released(data):
    batch, config = without_incomplete(data, "foreground")
    assert batch["used"].all()
    assert (batch["type"] == 0).all()
    assert (batch["label"] > 0).all()
    scores = torch.zeros(2, 8, 3)
    # One positive and, wrongly, one negative of each video.
    assert float(completeness_loss(scores[..., 1:], batch, config).sum) == 4
    assert float(activity_loss(scores, batch).count) == 16


@pytest.mark.parametrize(
    "change",
    [
        {"pooling": "windows"},
        {"pooling": "rescaled", "length": 20},
        {"ticks": "released", "target_lengths": "plus_one", "empty_pool": "foreground"},
        {"training_graph": "all", "cache": "float16", "roots": (2, 4, 1), "children": 3},
        {"watch": "held_out", "trainer": replace(SMALL.trainer, epochs=1, milestones=(), keep="best")},
        {"watch": "valid", "trainer": replace(SMALL.trainer, epochs=1, milestones=(), keep="best")},
    ],
)
def test_options_train_and_infer(data, tmp_path, change):
    config = replace(SMALL, **({"trainer": replace(SMALL.trainer, epochs=1, milestones=())} | change))
    train(data, tmp_path / "seed0", config=config)
    for name in ("valid.h5", "valid.txt", "annotations.json"):
        (tmp_path / name).symlink_to(data / name)
    _, videos = infer(tmp_path, tmp_path / "raw.h5", config)
    assert all(np.isfinite(v.regression).all() for v in videos.values())
    history = json.loads((tmp_path / "seed0/weights.json").read_text())["epochs"]
    assert ("valid/loss" in history[-1]) == ("watch" in change)


def test_statistics_of_the_targets_are_stored_with_the_weights(data, tmp_path):
    videos, _ = sample_of(data, SMALL)
    mean, deviation = target_statistics(v.pools for v in videos)
    state = load_state(data / "seed0/weights.safetensors")
    np.testing.assert_allclose(state["mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(state["deviation"], deviation, rtol=1e-6)


def test_held_out_videos_are_apart(data):
    sources = read_source(SMALL, side(data, "train", listed=True))
    kept, aside = split(sources, 0.25, 0)
    names = [s.video.name for s in (*kept, *aside)]
    assert (len(kept), len(aside), len(set(names))) == (6, 2, 8)
    with pytest.raises(TspError, match="too few to hold out"):
        split(sources[:1], 0.25, 0)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"roots": (0, 6, 1)}, "roots"),
        ({"children": 11}, "children"),
        ({"held_out": 1.0}, "held_out"),
        ({"trainer": replace(SMALL.trainer, keep="best")}, "needs watch"),
    ],
)
def test_impossible_options_are_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        replace(SMALL, **wrong)


def test_features_without_a_time_are_refused_by_the_time_rule(data, tmp_path):
    for name in ("train.txt", "valid.txt", "valid.h5", "annotations.json"):
        (tmp_path / name).symlink_to(data / name)
    with FeatureFile(data / "train.h5") as file, feature_writer(tmp_path / "train.h5", {"stride": 15}) as writer:
        for key in file:
            writer.write(key, file[key])
    with pytest.raises(TspError, match="pooling `time` needs the attribute 'fps'"):
        train(tmp_path, tmp_path / "out")


def test_lists_of_other_videos_are_refused(data):
    with pytest.raises(TspError, match="none of its 4 videos"):
        read_source(SMALL, replace(side(data, "train"), proposals=data / "valid.txt"))
    with pytest.raises(TspError, match="none are given for subset 'training'"):
        read_source(SMALL, side(data, "train"))


def test_proposals_of_raw_predictions(data, tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        for name in ("2", "5"):
            group = file.create_group(name)
            group["map"], group["start"], group["end"] = np.zeros((2, 4, 4)), np.zeros(4), np.zeros(4)
    segments, scores = np.array([[0.1, 0.5], [0.2, 0.9]]), np.array([0.3, 0.7])
    selection = Selection(scored=lambda _: (segments, scores), rule=RULE)
    duration = {v.name: v.duration_s for v in read_annotations(data / "annotations.json")}
    raw = Raw(path=tmp_path / "raw.h5", annotations=data / "annotations.json", subset="validation")
    made = unsuppressed(raw, selection, length=4, windows=None)
    assert (list(made.found), made.frames) == (["2", "5"], {})
    np.testing.assert_allclose(made.found["5"][0], segments * duration["5"])
    halved = unsuppressed(raw, replace(selection, length_s=lambda video: video.duration_s / 2), 4, None)
    np.testing.assert_allclose(halved.found["5"][0], segments * duration["5"] / 2)
    method = SimpleNamespace(__name__="x", candidates=lambda config, _: config)
    assert candidates_of(method, made, raw) is made
    with pytest.raises(TspError, match="offers no candidates"):
        candidates_of(SimpleNamespace(__name__="x"), None, raw)


def test_proposals_of_windows(data, tmp_path):
    """Two windows of 10 snippets, 5 frames apart, which propose one segment both; 25 frames per second."""
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_group("2").attrs.update(fps=25.0, frames=70)
        for first, value in ((0, 0.3), (5, 0.9)):
            group = file["2"].create_group(str(first))
            group["map"], group["start"], group["end"] = np.full((2, 1, 1), value), np.zeros(1), np.zeros(1)
    raw = Raw(path=tmp_path / "raw.h5", annotations=data / "annotations.json", subset="validation")

    def scored(maps):
        value = maps["map"][0, 0, 0]
        rows = [[0.5, 0.8], [0.0, 1.0]] if value < 0.5 else [[0.0, 0.3], [0.1, 0.9]]
        return np.array(rows), np.array([value, 0.1])

    made = unsuppressed(raw, Selection(scored=scored, rule=RULE), length=10, windows=Windows(longest_frames=50))
    found = made.found
    assert made.frames == {"2": (70, 25.0)}
    # [0, 50) is too long; [25, 40) is proposed twice.
    np.testing.assert_allclose(found["2"][0], np.array([[25, 40], [30, 70]]) / 25)
    np.testing.assert_allclose(found["2"][1], [0.9, 0.1])


def test_frames_of_videos():
    video = Video(name="a", filename="v_a.mp4", subset="s", duration_s=10.0, segments=())
    assert Clock().of(video) == (300, 30.0)
    annotated = replace(video, duration_s=None, extra={"frames": 240, "frame_rate": 24.0})
    assert Clock().of(annotated) == (240, 24.0)
    assert Clock(by_name={"a": (7, 1.0)}).of(annotated) == (7, 1.0)
    assert Clock(by_key={"v_a": (8, 1.0)}, by_name={"a": (7, 1.0)}).of(annotated) == (8, 1.0)
    with pytest.raises(TspError, match="states no duration"):
        Clock().of(replace(video, duration_s=None))


def test_proposals_of_detections_count_once(tmp_path):
    entry = {"segment": [1.0, 2.0], "score": 0.5, "label": "a"}
    entries = [entry, {**entry, "score": 0.9, "label": "b"}, {"segment": [0.0, 3.0], "score": 0.7, "label": "a"}]
    write_predictions(tmp_path / "p.json", {"v": entries, "w": []}, version="x")
    found = from_predictions(tmp_path / "p.json")
    assert [x.tolist() for x in found["v"]] == [[[1.0, 2.0], [0.0, 3.0]], [0.9, 0.7]]
    assert found["w"][0].shape == (0, 2)


def test_suppression_is_swept_without_class_scores(data, tmp_path):
    infer(data, tmp_path / "raw.h5")
    entry = {"method": "tsp.localise.pgcn", "dataset": "d", "refines": {"experiment": "b"}}
    settings = json.loads(json.dumps(dataclasses.asdict(SMALL)))
    write_config(tmp_path / "config.yaml", {"name": "x", "experiment": {**entry, "settings": settings}})
    inputs = Inputs(
        config=tmp_path / "config.yaml",
        raw=tmp_path / "raw.h5",
        annotations=data / "annotations.json",
        labels=None,
        subset="validation",
    )
    found = sweep(inputs, {"nms": ["before", "after"], "top": [50, 2]}, [0.3])
    assert found.table["top"].tolist() == [50, 2, 50, 2]
    assert (found.table["average_mAP"] > 0).all()


@pytest.mark.gpu
def test_the_same_numbers_on_a_gpu(data):
    if not torch.cuda.is_available():
        if os.environ.get("TSP_REQUIRE_GPU"):
            pytest.fail("TSP_REQUIRE_GPU is set, but PyTorch finds no CUDA device")
        pytest.skip("no CUDA device")
    config = replace(SMALL, graph_dropout=0.0, dropout=0.0)
    batch = sample_of(data, config)[1].__getitems__([0, 1, 2])
    results = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = Pgcn(8, 2, config).to(device)
        terms = PgcnTask(model, config).loss({name: x.to(device) for name, x in batch.items()})
        sum(t.sum / t.count * t.weight for t in terms.values()).backward()
        results.append([p.grad.cpu() for p in model.parameters()])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
