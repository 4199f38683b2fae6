"""Training and inference of P-GCN."""

import inspect
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from unit.localise.make import LABELS, side
from unit.localise.pgcn.make import SMALL, infer, post_process, sample_of, train

from tsp.encoders.weights import load_state
from tsp.errors import TspError
from tsp.io.annotations import read_annotations, write_annotations
from tsp.io.features import FeatureFile, feature_writer
from tsp.localise.method import Method
from tsp.localise.pgcn import method as pgcn
from tsp.localise.pgcn.data import Neighbourhoods, read_source, split
from tsp.localise.pgcn.graphs import neighbour_slots
from tsp.localise.pgcn.method import Pgcn, PgcnTask, activity_loss, completeness_loss, outputs, regression_loss
from tsp.localise.pgcn.proposal_types import target_statistics


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
