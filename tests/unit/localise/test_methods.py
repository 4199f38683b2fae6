"""What G-TAD and BMN share: training, inference, detections, proposals, and what may go wrong."""

import inspect
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from unit.localise.make import LABELS, METHODS, SUBSETS, WINDOWS, detect, infer, make_set, propose, raw_of, train

from tsp.encoders.weights import load_state
from tsp.errors import TspError
from tsp.io.annotations import read_annotations, write_annotations
from tsp.io.features import FeatureFile, feature_writer
from tsp.io.files import read_json
from tsp.localise import bmn, gtad, pgcn
from tsp.localise.data import read_subset
from tsp.localise.maps.training import MapTask
from tsp.localise.method import CandidateMethod

# A video of 30 s is 30 snippets of 10 frames at 10 fps: three windows of 16.
CUT = replace(WINDOWS, fps=10.0)


@pytest.fixture(scope="module", params=["gtad", "bmn", "gtad windows", "bmn windows"])
def case(request):
    """Module and small settings."""
    name, *cut = request.param.split()
    method, config = METHODS[name]
    return method, replace(config, windows=CUT, classes=2) if cut else replace(config, classes=2)


@pytest.fixture(scope="module")
def data(case, tmp_path_factory):
    """A small data set and the files of one training on it."""
    folder = tmp_path_factory.mktemp("set")
    make_set(folder)
    train(*case, folder, folder / "seed0")
    infer(*case, folder, folder / "seed0/weights.safetensors", folder / "raw.h5")
    return folder


@pytest.mark.parametrize("name", ["train", "infer", "post_process", "propose", "candidates"])
def test_the_module_offers_what_the_contract_says(case, name):
    ours = inspect.signature(getattr(case[0], name)).parameters
    stated = [p for p in inspect.signature(getattr(CandidateMethod, name)).parameters.values() if p.name != "self"]
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [(p.name, p.kind, p.default) for p in stated]


def test_the_modules_say_whether_they_refine():
    assert [method.REFINES for method in (bmn, gtad, pgcn)] == [False, False, True]
    assert [hasattr(method, "candidates") for method in (bmn, gtad, pgcn)] == [True, True, False]


def test_detections_need_class_scores(case, data, tmp_path):
    method, config = case
    with pytest.raises(TspError, match="needs video-level class scores"):
        method.post_process(config, raw_of(data, data / "raw.h5"), labels=None, output=tmp_path / "p.json")


def test_training_writes_weights_facts_and_log(data):
    folder = data / "seed0"
    assert sorted(p.name for p in folder.iterdir()) == ["log.jsonl", "weights.json", "weights.safetensors", "work"]
    assert [p.name for p in (folder / "work").iterdir()] == ["log.jsonl"]
    assert len((folder / "log.jsonl").read_text().splitlines()) >= 2


def test_labels_without_frames_are_a_warning_with_counts(case, data, tmp_path, caplog):
    """Windows count the frames of videos; whole videos are measured by numbers that the annotations state."""
    method, config = case
    stated = [
        replace(video, extra={"feature_frame": 240, "duration_frame": 250}) if video.name in ("0", "1", "2") else video
        for video in read_annotations(data / "annotations.json")
    ]
    for name in ("train.h5", "valid.h5"):
        (tmp_path / name).symlink_to(data / name)
    write_annotations(tmp_path / "annotations.json", stated)
    train(method, config, tmp_path, tmp_path / "asked")
    warnings = read_json(tmp_path / "asked/weights.json").get("warnings", [])
    counts = "the annotations of 6 of 8 training and 3 of 4 validation videos state no numbers of frames"
    assert [counts in warning for warning in warnings] == ([True] if config.windows is None else [])
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == warnings
    train(method, replace(config, time_base="duration"), tmp_path, tmp_path / "other")
    assert "warnings" not in read_json(tmp_path / "other/weights.json")
    train(method, config, write_all_frames(tmp_path, stated), tmp_path / "all")
    assert "warnings" not in read_json(tmp_path / "all/weights.json")


def write_all_frames(folder, videos):
    facts = {"feature_frame": 240, "duration_frame": 250}
    write_annotations(folder / "annotations.json", [replace(video, extra=facts) for video in videos])
    return folder


def test_same_seed_same_bits(case, data, tmp_path):
    first = (data / "seed0/weights.safetensors").read_bytes()
    assert train(*case, data, tmp_path / "again") == first
    assert train(*case, data, tmp_path / "other", seed=1) != first


def test_interrupted_training_ends_with_the_same_bits(case, data, tmp_path, monkeypatch):
    validate, calls = MapTask.validate, []

    def dying(self, batches):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(self, batches)

    monkeypatch.setattr(MapTask, "validate", dying)
    with pytest.raises(KeyboardInterrupt):
        train(*case, data, tmp_path)
    assert train(*case, data, tmp_path) == (data / "seed0/weights.safetensors").read_bytes()


def test_a_work_folder_of_other_options_is_refused(case, data, tmp_path, monkeypatch):
    method, config = case
    monkeypatch.setattr(MapTask, "validate", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        train(method, config, data, tmp_path)
    with pytest.raises(TspError, match="another configuration"):
        train(method, replace(config, regression_weight=5.0), data, tmp_path)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_weights_are_those_of_the_best_or_the_last_epoch(case, data, tmp_path, monkeypatch, keep):
    """The first epoch is made the best; training goes on."""
    states, losses = [], iter([0.5, 1.0])

    def validate(self, batches):
        states.append({name: x.clone() for name, x in self.model.state_dict().items()})
        return {"loss": next(losses)}

    monkeypatch.setattr(MapTask, "validate", validate)
    method, config = case
    train(method, replace(config, trainer=replace(config.trainer, keep=keep)), data, tmp_path)
    expected = states[0 if keep == "best" else 1]
    found = load_state(tmp_path / "weights.safetensors")
    assert all(torch.equal(found[name], x) for name, x in expected.items())
    assert any(not torch.equal(states[0][name], x) for name, x in states[1].items())


def test_raw_predictions_are_compressed_maps_of_every_video(case, data):
    _, config = case
    shape = (2, *config.grid.valid.shape)
    with h5py.File(data / "raw.h5") as file:
        assert sorted(file) == ["11", "2", "5", "8"]
        for group in file.values():
            pieces = [group] if config.windows is None else list(group.values())
            assert config.windows is None or 1 < len(pieces) < 6
            for piece in pieces:
                assert {name: rows.shape for name, rows in piece.items()} == {
                    "map": shape,
                    "start": (16,),
                    "end": (16,),
                }
                assert all(rows.compression == "gzip" for rows in piece.values())
                assert all(((rows[()] > 0) & (rows[()] < 1)).all() for rows in piece.values())


def flat(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, x: found.update({name: x[()]}) if isinstance(x, h5py.Dataset) else None)
    return found


def test_batches_of_inference_change_nothing_but_rounding(case, data, tmp_path):
    method, config = case
    one = replace(config, trainer=replace(config.trainer, batch_size=1))
    infer(method, one, data, data / "seed0/weights.safetensors", tmp_path / "raw.h5")
    together, alone = flat(data / "raw.h5"), flat(tmp_path / "raw.h5")
    assert sorted(together) == sorted(alone)
    for name, x in together.items():
        np.testing.assert_allclose(x, alone[name], atol=1e-6)


def test_weights_of_other_sizes_are_refused(case, data, tmp_path):
    method, config = case
    with pytest.raises(TspError, match="not weights of"):
        infer(method, replace(config, hidden_2d=16), data, data / "seed0/weights.safetensors", tmp_path / "raw.h5")


def test_windows_and_whole_videos_are_not_mixed_up(case, data, tmp_path):
    method, config = case
    other = replace(config, windows=None if config.windows else CUT)
    with pytest.raises(TspError, match="run it again"):
        detect(method, other, data, data / "raw.h5", tmp_path / "predictions.json")


def test_detections_take_the_two_best_classes(case, data, tmp_path):
    method, config = case
    found = detect(method, replace(config, nms_keep=5), data, data / "raw.h5", tmp_path / "predictions.json")
    assert sorted(found) == ["11", "2", "5", "8"]
    for entries in found.values():
        first, second = ([e for e in entries if e["label"] == label] for label in LABELS)
        assert 0 < len(first) == len(second) <= 5
        assert [e["segment"] for e in first] == [e["segment"] for e in second]
        ratio = first[0]["score"] / second[0]["score"]
        assert ratio == pytest.approx(9, rel=1e-2) or ratio == pytest.approx(1 / 4, rel=1e-2)


def test_proposals_are_segments_without_class(case, data, tmp_path):
    method, config = case
    found = propose(method, replace(config, nms_keep=5), data, data / "raw.h5", tmp_path / "proposals.json")
    assert sorted(found) == ["11", "2", "5", "8"]
    for entries in found.values():
        assert 0 < len(entries) <= 5
        assert all(set(e) == {"score", "segment"} for e in entries)
        assert [e["score"] for e in entries] == sorted((e["score"] for e in entries), reverse=True)


@pytest.mark.parametrize("make", [detect, propose])
def test_segments_are_seconds_inside_the_video(case, data, tmp_path, make):
    found = make(*case, data, data / "raw.h5", tmp_path / "predictions.json")
    duration = {v.name: v.duration_s for v in read_annotations(data / "annotations.json")}
    for video, entries in found.items():
        ends = np.array([e["segment"] for e in entries])
        assert (ends[:, 0] >= 0).all()
        assert (ends[:, 1] > ends[:, 0]).all()
        # Rounded to 0.1 s with windows.
        assert (ends[:, 1] <= duration[video] + 0.05).all()
        assert ends[:, 1].max() > duration[video] / 2


def batch_of(case, data, rows, empty=False):
    method, config = case
    options = {"align_corners": False, "windows": config.windows}
    subset = read_subset(data / "train.h5", data / "annotations.json", "training", 16, **options)
    if empty:
        subset = replace(subset, videos=[replace(v, segments=()) for v in subset.videos])
        config = replace(config, windows=config.windows and replace(config.windows, coverage=-1.0))
    return method.METHOD.examples(subset, config).__getitems__(rows)


def task_of(case):
    method, config = case
    names = ("Gtad", "GtadTask") if method.__name__.endswith("gtad") else ("Bmn", "BmnTask")
    network, task = (getattr(method, name) for name in names)
    torch.manual_seed(0)
    return task(network(8, config), config)


@pytest.mark.parametrize("empty", [True, False])
def test_losses_and_gradients_of_any_batch_are_finite(case, data, empty):
    """Without an action, and the last batch of an epoch, which may hold a single video."""
    batch = batch_of(case, data, [0], empty)
    assert len(batch["features"]) == 1
    assert bool(batch["iou"].any()) is not empty
    task = task_of(case)
    terms = task.loss(batch)
    total = sum(term.sum * term.weight for term in terms.values())
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(p.grad).all() for p in task.model.parameters())


def test_losses_are_weighed_as_configured(case, data):
    method, config = case
    swapped = method, replace(config, regression_weight=1.0, classification_weight=10.0)
    for this, regression, classification in ((case, 10.0, 1.0), (swapped, 1.0, 10.0)):
        found = {name: term.weight for name, term in task_of(this).loss(batch_of(this, data, [0, 1])).items()}
        assert found == {"node": 1.0, "regression": regression, "classification": classification}


def test_epochs_may_end_with_a_batch_of_one_video(case, data, tmp_path):
    method, config = case
    rows = len(batch_of(case, data, slice(None))["features"])
    train(method, replace(config, trainer=replace(config.trainer, epochs=1, batch_size=rows - 1)), data, tmp_path)
    state = load_state(tmp_path / "weights.safetensors")
    assert all(torch.isfinite(x).all() for x in state.values())


def test_half_precision_trains(case, data, tmp_path):
    method, config = case
    assert train(method, replace(config, trainer=replace(config.trainer, epochs=1, amp="bf16")), data, tmp_path)


def test_annotations_without_actions_are_an_error(case, data, tmp_path):
    videos = [replace(v, segments=()) for v in read_annotations(data / "annotations.json")]
    write_annotations(tmp_path / "annotations.json", videos)
    for name in ("train.h5", "valid.h5"):
        (tmp_path / name).symlink_to(data / name)
    with pytest.raises(TspError, match="no annotated action"):
        train(*case, tmp_path, tmp_path / "out")


def rewrite(source, target, change):
    with FeatureFile(source) as file, feature_writer(target, file.attributes) as writer:
        for name in file.names:
            rows = change(name, file[name])
            if rows is not None:
                writer.write(name, rows)


def test_videos_shorter_than_the_grid_and_videos_without_features(case, data, tmp_path, caplog):
    """One clip where the grid has 16 columns; a video that is annotated but was never extracted is left out."""
    (tmp_path / "annotations.json").symlink_to(data / "annotations.json")
    rewrite(data / "train.h5", tmp_path / "train.h5", lambda name, rows: None if name == "v_0" else rows[:1])
    rewrite(data / "valid.h5", tmp_path / "valid.h5", lambda name, rows: None if name == "v_2" else rows[:3])
    with caplog.at_level("WARNING"):
        train(*case, tmp_path, tmp_path / "out")
    assert "1 of 8 training videos have no features and are left out" in caplog.text
    infer(*case, tmp_path, tmp_path / "out/weights.safetensors", tmp_path / "raw.h5")
    found = {name.split("/")[0] for name in flat(tmp_path / "raw.h5")}
    assert found == {"11", "5", "8"}
    assert all(np.isfinite(x).all() for x in flat(tmp_path / "raw.h5").values())


def test_no_features_of_the_subset(data):
    with pytest.raises(TspError, match="no features of any of the 4 'validation' videos"):
        read_subset(data / "train.h5", data / "annotations.json", SUBSETS["valid"], 16, align_corners=False)


def test_interpolation_is_an_option(data):
    """Half-pixel centres, or the first and last clip at the ends."""
    options = {"subset": "training", "length": 100}
    found = [
        read_subset(data / "train.h5", data / "annotations.json", **options, align_corners=corners).features[0]
        for corners in (False, True)
    ]
    with FeatureFile(data / "train.h5") as file:
        rows = file["v_0"].T
    for x, corners in zip(found, (False, True), strict=True):
        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(rows)[None], 100, mode="linear", align_corners=corners
        )
        np.testing.assert_allclose(x, theirs[0], atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 0.01
