import dataclasses
import functools
import json
import traceback

import numpy as np
import pytest
import torch
from unit.pretrain.make import ENCODER, LABELS, make_set

from tsp.encoders.build import load_encoder
from tsp.encoders.video_resnet import r2plus1d_tiny
from tsp.encoders.weights import load_state
from tsp.errors import TspError
from tsp.io.features import feature_writer
from tsp.io.files import sha256
from tsp.pretrain.config import PretrainTrainer, ReleasedFile, RunConfig
from tsp.pretrain.model import TspModel
from tsp.pretrain.train import PretrainInputs, TspTask, pretrain
from tsp.training.distributed import launch

TRAINER = PretrainTrainer(epochs=2, batch_size=8, warmup_epochs=0.0, replicas=1, loss_mean="global")
RUN = RunConfig(dataset="toy", encoder="tiny", clips_per_segment=2, trainer=TRAINER, head_lr=0.1, cache="memory")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    files = make_set(folder)
    with feature_writer(folder / "gvf.h5", {}) as writer:
        for i in range(2):
            writer.write(f"v_{i}", np.full(4, i, dtype=np.float32))
    kinetics = folder / "kinetics.pth"
    torch.manual_seed(7)
    torch.save({**r2plus1d_tiny().state_dict(), "fc.weight": torch.ones(400, 64), "fc.bias": torch.ones(400)}, kinetics)
    return PretrainInputs(
        train_segments=files["segments"],
        valid_segments=files["segments"],
        train_videos=files["videos"],
        valid_videos=files["videos"],
        labels=LABELS,
        gvf=folder / "gvf.h5",
        start=kinetics,
    )


def run_it(run, inputs, folder):
    pretrain(run, ENCODER, inputs, output=folder / "encoder.safetensors", work_dir=folder / "work", device="cpu")
    return load_state(folder / "encoder.safetensors"), json.loads((folder / "encoder.json").read_text())


def test_tsp_end_to_end(tmp_path, inputs):
    run = dataclasses.replace(RUN, start="kinetics", gvf="max")
    state, facts = run_it(run, inputs, tmp_path)
    assert (state["fc1.weight"].shape, state["fc2.weight"].shape) == ((2, 64), (2, 68))
    start = torch.load(inputs.start)
    assert torch.equal(state["features.stem.0.weight"], start["stem.0.weight"]), "the stem is frozen"
    assert not torch.equal(state["features.stem.1.running_mean"], start["stem.1.running_mean"])
    assert not torch.equal(state["features.layer1.0.conv1.0.0.weight"], start["layer1.0.conv1.0.0.weight"])
    epochs = facts["epochs"]
    assert [e["epoch"] for e in epochs] == [0, 1] and facts["best_epoch"] in (0, 1)
    for e in epochs:
        mean = (e["valid/action_accuracy"] + e["valid/region_accuracy"]) / 2
        assert e["valid/avg_accuracy"] == pytest.approx(mean)
        assert 0 < e["train/action"] < 10
    assert facts["avg_accuracy"] == max(e["valid/avg_accuracy"] for e in epochs)
    assert facts["run"]["gvf"] == "max" and facts["inputs"]["start"]["sha256"] == sha256(inputs.start)
    assert (tmp_path / "log.jsonl").read_text().count("\n") == 2
    assert not (tmp_path / "work" / "state.pt").exists()
    load_encoder(ENCODER.factory, tmp_path / "encoder.safetensors")


def test_tac_has_one_head(tmp_path, inputs):
    state, facts = run_it(dataclasses.replace(RUN, heads=("action",)), inputs, tmp_path)
    assert state["fc.weight"].shape == (2, 64) and "fc1.weight" not in state
    assert "valid/region_accuracy" not in facts["epochs"][0]


def test_untrained_encoder_follows_from_the_seed(tmp_path):
    run = RunConfig(encoder="tiny")
    states = []
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        seeded = dataclasses.replace(run, trainer=dataclasses.replace(run.trainer, seed=seed))
        states.append(run_it(seeded, PretrainInputs(), tmp_path / name)[0]["features.stem.0.weight"])
        assert (tmp_path / name / "log.jsonl").exists()
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_released_file_is_converted(tmp_path, inputs):
    run = RunConfig(encoder="tiny", weights=ReleasedFile(url="u", sha256=sha256(inputs.start)[:8]))
    state, facts = run_it(run, PretrainInputs(weights=inputs.start), tmp_path)
    assert state["fc.weight"].shape == (400, 64) and facts["converted"]
    assert torch.equal(state["features.stem.0.weight"], torch.load(inputs.start)["stem.0.weight"])
    wrong = dataclasses.replace(run, weights=ReleasedFile(url="u", sha256="00000000"))
    with pytest.raises(TspError, match=r"kinetics\.pth: SHA-256 starts with .*, expected 00000000"):
        run_it(wrong, PretrainInputs(weights=inputs.start), tmp_path / "wrong")


def test_missing_inputs_are_named(tmp_path, inputs):
    with pytest.raises(TspError, match="needs start"):
        run_it(dataclasses.replace(RUN, start="k"), dataclasses.replace(inputs, start=None), tmp_path)
    with pytest.raises(TspError, match="not downloaded"):
        run_it(RunConfig(encoder="tiny", weights=ReleasedFile(url="u")), PretrainInputs(), tmp_path)


def groups(**changes):
    model = TspModel(r2plus1d_tiny(), {"action": 2})
    made = {g["name"]: g for g in TspTask(model, dataclasses.replace(RUN, **changes), ENCODER).param_groups()}
    return model, made


def test_rates_of_the_groups():
    model, made = groups(stem_lr=1e-5)
    assert {n: g["lr"] for n, g in made.items()} == {"stem": 1e-5, "backbone": 1e-4, "heads": 0.1}
    assert sum(len(list(g["params"])) for g in made.values()) == len(list(model.parameters()))
    model, made = groups()
    assert set(made) == {"backbone", "heads"} and not model.features.stem[0].weight.requires_grad
    # A batch of 8 is a quarter of the paper's.
    assert groups(lr_scale="batch")[1]["heads"]["lr"] == pytest.approx(0.025)
    assert groups(lr_scale="replicas")[1]["heads"]["lr"] == 0.1


def test_validation_losses_are_means_over_clips(monkeypatch):
    """Not over batches: three labelled clips and one, of which the last weighs a quarter."""

    def model(clip, gvf):
        return {"action": clip}

    monkeypatch.setattr("tsp.pretrain.train.network_input", lambda batch, form: batch["clip"])
    task = TspTask(model, dataclasses.replace(RUN, heads=("action",)), ENCODER)
    logits = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 9.0], [0.0, 4.0]])
    labels = torch.tensor([0, 1, 1, -1, 0])
    batches = [{"clip": logits[rows], "action": labels[rows]} for rows in (slice(0, 4), slice(4, 5))]
    found = {name: float(term.sum / term.count) for name, term in task.validate(batches).items()}
    losses = torch.nn.functional.cross_entropy(logits[labels >= 0], labels[labels >= 0], reduction="none")
    assert found == {"action_accuracy": 50.0, "action_loss": pytest.approx(losses.mean().item())}
    assert losses.mean() < 0.9 * (losses[:3].mean() + losses[3]) / 2


def test_frozen_stem_changes_no_number():
    """Rate 0 without gradients equals rate 0 with gradients and weight decay."""
    states = []
    for frozen in (True, False):
        torch.manual_seed(0)
        model = TspModel(r2plus1d_tiny(), {"action": 2})
        task = TspTask(model, RUN, ENCODER)
        made = task.param_groups()
        if not frozen:
            model.requires_grad_(True)
            made.append({"params": list(model.features.stem.parameters()), "lr": 0.0})
        optimizer = torch.optim.SGD(made, lr=1.0, momentum=0.9, weight_decay=0.005)
        generator = torch.Generator().manual_seed(1)
        for _ in range(2):
            optimizer.zero_grad()
            frames = [torch.randint(256, (4, 16, 16, 3), dtype=torch.uint8, generator=generator) for _ in range(2)]
            task.loss({"frames": frames, "action": torch.tensor([0, 1])})["action"].sum.backward()
            optimizer.step()
        states.append(model.state_dict())
    assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])


def test_a_rate_reaches_the_optimiser_in_five_hands(tmp_path, inputs, monkeypatch):
    """runs.yaml -> resolve_run.py -> pretrain.py -> pretrain -> TspTask.param_groups -> make_optimizer -> torch."""
    calls, made = [], []
    create = torch.optim.SGD.__init__

    def record(self, groups, **options):
        made.append({group["name"]: group["lr"] for group in groups})
        calls.append([frame.name for frame in traceback.extract_stack() if "/src/tsp/" in frame.filename])
        create(self, groups, **options)

    monkeypatch.setattr(torch.optim.SGD, "__init__", record)
    run_it(dataclasses.replace(RUN, backbone_lr=3e-4), inputs, tmp_path)
    assert made == [{"backbone": 3e-4, "heads": 0.1}]
    assert calls == [["pretrain", "fit", "__init__", "make_optimizer"]]


@pytest.mark.slow
def test_two_processes_write_one_encoder(tmp_path, inputs):
    options = {"work_dir": tmp_path / "work", "device": "cpu"}
    run = dataclasses.replace(RUN, trainer=dataclasses.replace(TRAINER, replicas=2, loss_mean="replica"))
    work = functools.partial(pretrain, run, ENCODER, inputs, output=tmp_path / "encoder.safetensors", **options)
    launch(work, 2)
    assert len(json.loads((tmp_path / "encoder.json").read_text())["epochs"]) == 2
    untrained = dataclasses.replace(RUN, dataset=None)
    launch(functools.partial(pretrain, untrained, ENCODER, inputs, output=tmp_path / "start.safetensors", **options), 2)
    assert load_encoder(ENCODER.factory, tmp_path / "start.safetensors")
