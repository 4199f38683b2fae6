import inspect
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from unit.localise.make import LABELS, SMALL, SUBSETS, make_set

from tsp.errors import TspError
from tsp.io.annotations import read_annotations, write_annotations
from tsp.io.predictions import read_predictions
from tsp.localise import gtad
from tsp.localise.data import normalised_segments, read_subset
from tsp.localise.gtad import Config, Gtad, GtadTask, examples, proposals
from tsp.localise.method import Method
from tsp.types import Segment, Video

METHODS = [gtad]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data set and the files of one training on it."""
    folder = tmp_path_factory.mktemp("gtad")
    make_set(folder)
    train(folder, folder / "seed0")
    return folder


def train(data, output, seed=0, config=SMALL):
    gtad.train(
        config,
        train_features=data / "train.h5",
        valid_features=data / "valid.h5",
        annotations=data / "annotations.json",
        subsets=SUBSETS,
        seed=seed,
        weights=output / "weights.safetensors",
        work=output / "work",
        device="cpu",
    )
    return (output / "weights.safetensors").read_bytes()


def infer(data, weights, output, config=SMALL):
    files = {"features": data / "valid.h5", "annotations": data / "annotations.json", "subset": "validation"}
    gtad.infer(config, weights=weights, output=output, device="cpu", **files)
    with h5py.File(output) as file:
        return {video: {name: rows[()] for name, rows in file[video].items()} for video in file}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["train", "infer", "post_process"])
def test_the_module_offers_what_the_contract_says(method, name):
    ours = inspect.signature(getattr(method, name)).parameters
    stated = [p for p in inspect.signature(getattr(Method, name)).parameters.values() if p.name != "self"]
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [(p.name, p.kind, p.default) for p in stated]


def test_training_writes_weights_facts_and_log(data):
    folder = data / "seed0"
    assert sorted(p.name for p in folder.iterdir()) == ["log.jsonl", "weights.json", "weights.safetensors", "work"]
    assert [p.name for p in (folder / "work").iterdir()] == ["log.jsonl"]
    assert len((folder / "log.jsonl").read_text().splitlines()) >= 2


def test_same_seed_same_bits(data, tmp_path):
    first = (data / "seed0/weights.safetensors").read_bytes()
    assert train(data, tmp_path / "again") == first
    assert train(data, tmp_path / "other", seed=1) != first


def test_interrupted_training_ends_with_the_same_bits(data, tmp_path, monkeypatch):
    validate, calls = GtadTask.validate, []

    def dying(self, batches):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(self, batches)

    monkeypatch.setattr(GtadTask, "validate", dying)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path)
    assert train(data, tmp_path) == (data / "seed0/weights.safetensors").read_bytes()


def test_a_work_folder_of_other_options_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr(GtadTask, "validate", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path)
    with pytest.raises(TspError, match="another configuration"):
        train(data, tmp_path, config=replace(SMALL, expand=0.25))


def test_raw_predictions_of_every_video(data, tmp_path):
    found = infer(data, data / "seed0/weights.safetensors", tmp_path / "raw.h5")
    assert sorted(found) == ["11", "2", "5", "8"]
    for maps in found.values():
        assert {name: x.shape for name, x in maps.items()} == {"map": (2, 12, 16), "start": (16,), "end": (16,)}
        assert all(((x > 0) & (x < 1)).all() for x in maps.values())


def test_batches_of_inference_change_nothing_but_rounding(data, tmp_path):
    one = replace(SMALL, trainer=replace(SMALL.trainer, batch_size=1))
    weights = data / "seed0/weights.safetensors"
    together, alone = infer(data, weights, tmp_path / "a.h5"), infer(data, weights, tmp_path / "b.h5", config=one)
    for video, maps in together.items():
        for name, x in maps.items():
            np.testing.assert_allclose(x, alone[video][name], atol=1e-6)


def test_weights_of_other_sizes_are_refused(data, tmp_path):
    with pytest.raises(TspError, match="not weights of Gtad"):
        infer(data, data / "seed0/weights.safetensors", tmp_path / "raw.h5", config=replace(SMALL, hidden_2d=16))


def detections(data, tmp_path, config=SMALL):
    infer(data, data / "seed0/weights.safetensors", tmp_path / "raw.h5")
    gtad.post_process(
        config,
        raw=tmp_path / "raw.h5",
        annotations=data / "annotations.json",
        subset="validation",
        labels=data / "labels.json",
        output=tmp_path / "predictions.json",
    )
    return read_predictions(tmp_path / "predictions.json")


def test_detections_take_the_two_best_classes(data, tmp_path):
    found = detections(data, tmp_path, replace(SMALL, nms_keep=5))
    assert sorted(found) == ["11", "2", "5", "8"]
    for entries in found.values():
        half = len(entries) // 2
        assert 0 < half <= 5
        first, second = entries[:half], entries[half:]
        assert {e["label"] for e in first} != {e["label"] for e in second}
        assert [e["segment"] for e in first] == [e["segment"] for e in second]
        scores = {e["label"]: e["score"] for e in (first[0], second[0])}
        assert max(scores) in LABELS
        ratio = first[0]["score"] / second[0]["score"]
        assert ratio == pytest.approx(9) or ratio == pytest.approx(4)


def test_detections_are_seconds_inside_the_video(data, tmp_path):
    found = detections(data, tmp_path)
    duration = {v.name: v.duration_s for v in read_annotations(data / "annotations.json")}
    for video, entries in found.items():
        ends = np.array([e["segment"] for e in entries])
        assert (ends[:, 0] >= 0).all()
        assert (ends[:, 1] > ends[:, 0]).all()
        assert (ends[:, 1] < duration[video]).all()


def maps(length=6, durations=4):
    found = np.arange(2 * durations * length, dtype=np.float64).reshape(2, durations, length) / 100
    return found, np.array([0.1, 0.9, 0.1, 0.1, 0.1, 0.8]), np.array([0.9, 0.1, 0.1, 0.2, 0.1, 0.1])


GRID = replace(SMALL, length=6, durations=4)


def test_proposals_run_between_candidate_boundaries():
    segments, scores = proposals(*maps(), GRID)
    # Starts: 0 always, 1 a peak; 5 never. Ends: 3 a peak, 5 always; 0 never. Durations up to 4.
    assert sorted((segments * 6).round().astype(int).tolist()) == [[0, 3], [1, 3], [1, 5]]
    found = maps()[0]
    by_segment = dict(zip(map(tuple, (segments * 6).round().astype(int).tolist()), scores, strict=True))
    assert by_segment[1, 5] == pytest.approx(found[0, 3, 1] * found[1, 3, 1])


def test_proposals_that_end_with_the_video_are_an_option():
    segments, _ = proposals(*maps(6, 6), replace(GRID, end_at_border=True, durations=6))
    assert [0.0, 1.0] in segments.tolist()


def test_all_cells_without_the_boundary_filter():
    segments, _ = proposals(*maps(), replace(GRID, boundary_filter=False))
    assert len(segments) == 5 + 4 + 3 + 2


def test_there_is_always_a_proposal():
    flat = np.zeros((2, 6, 6)), np.zeros(6), np.zeros(6)
    segments, _ = proposals(*flat, replace(GRID, durations=6))
    assert segments.tolist() == [[0, 5 / 6]]


def test_losses_of_a_batch_without_actions_are_finite(data):
    subset = read_subset(data / "train.h5", data / "annotations.json", "training", 16, align_corners=False)
    rows = examples(replace(subset, videos=[replace(v, segments=()) for v in subset.videos]), SMALL)
    task = GtadTask(Gtad(8, SMALL), SMALL)
    terms = task.loss(rows.__getitems__([0, 1]))
    total = sum(term.sum * term.weight for term in terms.values())
    total.backward()
    assert all(torch.isfinite(p.grad).all() for p in task.model.parameters())
    assert {name: term.weight for name, term in terms.items()} == {
        "node": 1.0,
        "regression": 10.0,
        "classification": 1.0,
    }


def test_half_precision_trains(data, tmp_path):
    config = replace(SMALL, trainer=replace(SMALL.trainer, epochs=1, amp="bf16"))
    assert train(data, tmp_path, config=config)


def test_3x3_map_convolutions_train(data, tmp_path):
    trainer = replace(SMALL.trainer, epochs=1, keep="last", grad_clip=1.0)
    config = replace(SMALL, map_kernel=3, node_cell_end=0.5, class_count_extra=10, trainer=trainer)
    assert train(data, tmp_path, config=config)


def test_annotations_without_actions_are_an_error(data, tmp_path):
    videos = [replace(v, segments=()) for v in read_annotations(data / "annotations.json")]
    write_annotations(tmp_path / "annotations.json", videos)
    for name in ("train.h5", "valid.h5"):
        (tmp_path / name).symlink_to(data / name)
    with pytest.raises(TspError, match="no annotated action"):
        train(tmp_path, tmp_path / "out")


def test_no_features_of_the_subset(data):
    with pytest.raises(TspError, match="no features of any of the 4 'validation' videos"):
        read_subset(data / "train.h5", data / "annotations.json", "validation", 16, align_corners=False)


@pytest.mark.parametrize(
    "wrong", [{"durations": 17}, {"neighbours": 17}, {"hidden_1d": 17}, {"gcn_width": 9}, {"inner_samples": 0}]
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(SMALL, **wrong)


def test_features_that_no_group_divides():
    with pytest.raises(TspError, match="multiple of stem_groups"):
        Gtad(7, SMALL)


def test_labels_are_measured_by_the_annotated_features():
    video = Video(
        name="x",
        filename="x.mp4",
        subset="s",
        duration_s=10.0,
        segments=(Segment(start_s=1.0, end_s=20.0, label="a"),),
        extra={"feature_frame": 240, "duration_frame": 300},
    )
    assert normalised_segments(video, "feature_frames").tolist() == [[1 / 8, 1]]
    assert normalised_segments(video, "duration").tolist() == [[1 / 10, 1]]
    assert normalised_segments(replace(video, extra={}), "feature_frames").tolist() == [[1 / 10, 1]]


def test_published_defaults():
    config = Config()
    assert (config.lr, config.trainer.epochs, config.trainer.batch_size) == (4e-3, 10, 16)
    assert (config.nms_divisor, config.nms_keep, config.classes) == (0.8, 100, 2)
    assert (config.trainer.optimizer, config.trainer.weight_decay, config.trainer.milestones) == ("adam", 1e-4, (5,))
