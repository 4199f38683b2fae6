import dataclasses
import errno
import os
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from unit.training.toy import Classify, Points, one_process

from tsp.errors import TspError
from tsp.training import checkpoint
from tsp.training.config import TrainerConfig
from tsp.training.distributed import launch
from tsp.training.fit import LossTerm, fit
from tsp.training.logs import read_log

TESTS = Path(__file__).parents[2]
CONFIG = TrainerConfig(epochs=3, batch_size=4, seed=5, keep="last", log_every=2, checkpoint_every=2)


class Killed(Exception):
    pass


def killed_at(task, call):
    """Make the task die at a call of `loss` or `validate`, like a killed job."""
    calls, loss = [0], task.loss

    def counting(batch):
        calls[0] += 1
        if calls[0] == call:
            raise Killed
        return loss(batch)

    task.loss = counting
    return task


def without_speed(records):
    return [{k: v for k, v in r.items() if k != "items_per_s"} for r in records]


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("kill", [1, 3, 6, 7, 10, 18])
def test_interrupted_equals_uninterrupted(tmp_path, kill, accumulate):
    config = dataclasses.replace(CONFIG, accumulate=accumulate, keep="best")
    whole = fit(Classify(), Points(), Points(9), config, tmp_path / "whole", device="cpu")
    with pytest.raises(Killed):
        fit(killed_at(Classify(), kill), Points(), Points(9), config, tmp_path / "cut", device="cpu")
    torch.rand(7)
    rest = fit(Classify(), Points(), Points(9), config, tmp_path / "cut", device="cpu")
    assert equal(rest.state, whole.state)
    assert (rest.history, rest.best_value, rest.best_epoch) == (whole.history, whole.best_value, whole.best_epoch)
    logs = [without_speed(read_log(tmp_path / name / "log.jsonl")) for name in ("whole", "cut")]
    assert logs[0] == logs[1] and len(logs[0]) > 3


def test_interrupted_in_validation_equals_uninterrupted(tmp_path):
    whole = fit(Classify(), Points(), Points(9), CONFIG, tmp_path / "whole", device="cpu")
    task = Classify()
    task.validate = lambda batches: (_ for _ in ()).throw(Killed)
    with pytest.raises(Killed):
        fit(task, Points(), Points(9), CONFIG, tmp_path / "cut", device="cpu")
    rest = fit(Classify(), Points(), Points(9), CONFIG, tmp_path / "cut", device="cpu")
    assert equal(rest.state, whole.state) and rest.history == whole.history


@pytest.mark.slow
def test_interrupted_equals_uninterrupted_with_workers(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=2)
    whole = fit(Classify(), Points(), None, config, tmp_path / "whole", device="cpu")
    with pytest.raises(Killed):
        fit(killed_at(Classify(), 5), Points(), None, config, tmp_path / "cut", workers=2, device="cpu")
    rest = fit(Classify(), Points(), None, config, tmp_path / "cut", workers=2, device="cpu")
    assert equal(rest.state, whole.state)


def test_finished_training_is_handed_back_without_training(tmp_path):
    first = fit(Classify(), Points(), Points(9), CONFIG, tmp_path, device="cpu")
    again = fit(killed_at(Classify(), 1), Points(), Points(9), CONFIG, tmp_path, device="cpu")
    assert equal(first.state, again.state) and first.history == again.history


def test_state_is_plain_and_loads_safely(tmp_path):
    fit(Classify(), Points(), Points(9), CONFIG, tmp_path, device="cpu")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (state["epoch"], state["position"]) == (3, 0)
    assert state["optimizer"]["param_groups"][0]["name"] == "all"


@pytest.mark.parametrize("change", [{"weight_decay": 0.1}, {"seed": 6}, {"batch_size": 5}, {"epochs": 4}])
def test_resuming_under_another_configuration_is_refused(tmp_path, change):
    fit(Classify(), Points(), None, CONFIG, tmp_path, device="cpu")
    with pytest.raises(TspError, match=r"state\.pt: made under another configuration"):
        fit(Classify(), Points(), None, dataclasses.replace(CONFIG, **change), tmp_path, device="cpu")
    with pytest.raises(TspError, match="another configuration"):
        fit(Classify(lr=0.2), Points(), None, CONFIG, tmp_path, device="cpu")
    # When something is written makes no difference to what is learnt.
    fit(Classify(), Points(), None, dataclasses.replace(CONFIG, log_every=9), tmp_path, device="cpu")


def test_a_flipped_bit_of_the_state_is_found(tmp_path):
    fit(Classify(), Points(), Points(9), CONFIG, tmp_path, device="cpu")
    path = tmp_path / "state.pt"
    content = path.read_bytes()
    # Inside the momenta, whose values any bits may be.
    with zipfile.ZipFile(path) as archive:
        member = max((m for m in archive.infolist() if "/data/" in m.filename), key=lambda m: m.file_size)
    where = content.index(archive_data(path, member)) + 1
    path.write_bytes(content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :])
    with pytest.raises(TspError, match=r"state\.pt: damaged checkpoint; delete"):
        fit(Classify(), Points(), Points(9), CONFIG, tmp_path, device="cpu")


def archive_data(path, member):
    with zipfile.ZipFile(path) as archive:
        return archive.read(member)


def test_damaged_state_is_named(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"half a file")
    with pytest.raises(TspError, match=r"state\.pt: damaged checkpoint; delete"):
        fit(Classify(), Points(), None, CONFIG, tmp_path, device="cpu")


def test_batch_without_labels_counts_zero(tmp_path):
    class Unlabelled(Points):
        def __getitem__(self, index):
            return super().__getitem__(index)[0], -1

    result = fit(Classify(), Unlabelled(), None, CONFIG, tmp_path, device="cpu")
    assert [record["train/label"] for record in result.history] == [0.0, 0.0, 0.0]
    assert all(torch.isfinite(t).all() for t in result.state.values())


def test_mean_of_a_term_is_over_the_items_counted(tmp_path):
    """One step of plain SGD equals autograd on the two means, computed by hand."""
    data, task = Points(6), Classify(plain=True)
    config = TrainerConfig(epochs=1, batch_size=6, momentum=0.0, keep="last")
    expected = Classify(plain=True).model
    x, label = map(torch.stack, zip(*[(x, torch.tensor(y)) for x, y in map(data.__getitem__, range(6))], strict=True))
    logits = expected(x)
    loss = (
        torch.nn.functional.cross_entropy(logits[label >= 0], label[label >= 0]) + 0.01 * logits.square().sum(1).mean()
    )
    loss.backward()
    state = fit(task, data, None, config, tmp_path, device="cpu").state
    for name, parameter in expected.named_parameters():
        torch.testing.assert_close(state[name], parameter.detach() - 0.1 * parameter.grad)


def test_nan_loss_is_told_and_the_last_good_state_kept(tmp_path):
    task, calls = Classify(), [0]
    loss = task.loss

    def broken(batch):
        calls[0] += 1
        terms = loss(batch)
        if calls[0] == 6:
            terms["label"] = LossTerm(terms["label"].sum * float("nan"), 1)
        return terms

    task.loss = broken
    with pytest.raises(TspError, match=r"not finite at iteration 5 \(epoch 0\), learning rates: all 0\.1"):
        fit(task, Points(), None, CONFIG, tmp_path, device="cpu")
    state = checkpoint.read(tmp_path / "state.pt")
    assert state["position"] == 4 and all(torch.isfinite(t).all() for t in state["model"].values())


def test_broken_weights_are_not_saved_over_good_ones(tmp_path):
    config = dataclasses.replace(CONFIG, checkpoint_every=1)
    with pytest.raises(TspError, match=r"parameter '.*' is not finite after iteration 1"):
        fit(Classify(lr=float("inf")), Points(), None, config, tmp_path, device="cpu")
    assert not (tmp_path / "state.pt").exists()


def test_full_disk_is_told_and_the_old_state_kept(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        fit(killed_at(Classify(), 4), Points(), None, CONFIG, tmp_path, device="cpu")
    before = (tmp_path / "state.pt").read_bytes()
    write_bytes = Path.write_bytes

    def full(path, data):
        write_bytes(path, bytes(data)[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(TspError, match=r"state\.pt: cannot be written \(No space left on device\)"):
        fit(Classify(), Points(), None, CONFIG, tmp_path, device="cpu")
    assert (tmp_path / "state.pt").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.jsonl", "state.pt"]


def scripted(values, higher=True):
    task = Classify(plain=True)
    task.higher_is_better = higher
    values = iter(values)
    task.validate = lambda batches: {"accuracy": (list(batches), next(values))[1]}
    return task


@pytest.mark.parametrize(
    ("values", "higher", "best"), [([1.0, 3.0, 3.0], True, 1), ([1.0, 3.0, 0.5], False, 2), ([2.0, 1.0, 0.0], True, 0)]
)
def test_best_epoch_is_the_first_of_the_best(tmp_path, values, higher, best):
    config = dataclasses.replace(CONFIG, keep="best")
    result = fit(scripted(values, higher), Points(), Points(9), config, tmp_path, device="cpu")
    assert (result.best_epoch, result.best_value) == (best, values[best])
    shorter = dataclasses.replace(CONFIG, epochs=best + 1)
    last = fit(scripted(values, higher), Points(), Points(9), shorter, tmp_path / "shorter", device="cpu")
    assert equal(result.state, last.state)


def test_patience_and_rare_validation(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=9, patience=2)
    result = fit(scripted([1, 2, 2, 1, 9]), Points(), Points(9), config, tmp_path / "a", device="cpu")
    assert (len(result.history), result.best_epoch) == (4, 1)
    config = dataclasses.replace(CONFIG, epochs=5, validate_every=3)
    result = fit(scripted([1, 2]), Points(), Points(9), config, tmp_path / "b", device="cpu")
    assert [r["epoch"] for r in result.history if "valid/accuracy" in r] == [2, 4]


def test_undefined_metric_and_empty_data_are_errors(tmp_path):
    with pytest.raises(TspError, match="'accuracy' is nan after epoch 0"):
        fit(scripted([float("nan")]), Points(), Points(9), CONFIG, tmp_path / "a", device="cpu")
    with pytest.raises(TspError, match="data set is empty"):
        fit(Classify(), Points(0), None, CONFIG, tmp_path / "b", device="cpu")


@pytest.mark.parametrize(
    "options", [{"grad_clip": 0.1}, {"amp": "bf16"}, {"channels_last": True}, {"optimizer": "adam"}]
)
def test_options_train(tmp_path, options):
    config = dataclasses.replace(CONFIG, epochs=1, **options)
    result = fit(Classify(), Points(), Points(9), config, tmp_path, device="cpu")
    assert torch.isfinite(result.state["0.weight"]).all()
    assert result.history[0]["train/label"] > 0


def test_missing_gpu_is_told(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TspError, match="device 'cuda': PyTorch finds no GPU"):
        fit(Classify(), Points(), None, CONFIG, tmp_path, device="cuda")


class Unreadable(Points):
    def __getitem__(self, index):
        raise TspError(f"item {index} cannot be read")


@pytest.mark.parametrize("workers", [0, 1])
def test_fault_of_an_item_is_one_line(tmp_path, workers):
    with pytest.raises(TspError, match=r"^item \d+ cannot be read$"):
        fit(Classify(), Unreadable(), None, CONFIG, tmp_path, workers=workers, device="cpu")


def test_half_written_files_of_a_killed_process_are_dropped(tmp_path):
    (tmp_path / ".state.abc.pt").touch()
    fit(Classify(), Points(), None, CONFIG, tmp_path, device="cpu")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.jsonl", "state.pt"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [22, 17])
def test_two_processes_equal_one(tmp_path, size):
    """The same global batches, the last one with nothing (17 items) for the second process."""
    for name, world, batch in [("one", 1, 8), ("two", 2, 4)]:
        config = dataclasses.replace(CONFIG, batch_size=batch, replicas=world, checkpoint_every=None)
        launch(one_process, world, (str(tmp_path / name), Points(size), config))
    one, two = (torch.load(tmp_path / name / "result.pt") for name in ("one", "two"))
    for name in one["state"]:
        torch.testing.assert_close(two["state"][name], one["state"][name], rtol=0, atol=1e-6)
    for a, b in zip(one["history"], two["history"], strict=True):
        assert a == pytest.approx(b, abs=1e-6)


@pytest.mark.slow
def test_error_of_a_process_is_the_callers(tmp_path):
    with pytest.raises(TspError, match="data set is empty"):
        launch(one_process, 2, (str(tmp_path), Points(0), dataclasses.replace(CONFIG, replicas=2)))


LAUNCHER = """#!{python}
import os, subprocess, sys
world = int(sys.argv[sys.argv.index("-n") + 1])
command = sys.argv[sys.argv.index("-n") + 2 :]
env = [os.environ | {{"SLURM_PROCID": str(n), "SLURM_LOCALID": str(n)}} for n in range(world)]
sys.exit(max([p.wait() for p in [subprocess.Popen(command, env=e) for e in env]]))
"""


@pytest.fixture
def launcher(tmp_path, monkeypatch):
    """A stand-in for srun: it starts the tasks on this machine and numbers them as srun does."""
    path = tmp_path / "launcher"
    path.write_text(LAUNCHER.format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    return str(path)


@pytest.mark.slow
def test_tasks_of_a_cluster_equal_one_process(tmp_path, launcher):
    config = dataclasses.replace(CONFIG, checkpoint_every=None)
    for name, world, batch in [("one", 1, 8), ("two", 2, 4)]:
        options = dataclasses.replace(config, batch_size=batch, replicas=world)
        launch(one_process, world, (str(tmp_path / name), Points(22), options), launcher)
    one, two = (torch.load(tmp_path / name / "result.pt")["state"] for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=1e-6)
    assert not list(tmp_path.glob(".tasks-*"))


@pytest.mark.slow
def test_faults_of_a_clusters_tasks(tmp_path, launcher):
    with pytest.raises(TspError, match="data set is empty"):
        launch(one_process, 2, (str(tmp_path), Points(0), dataclasses.replace(CONFIG, replicas=2)), launcher)
    with pytest.raises(TspError, match="no-such-launcher"):
        launch(one_process, 2, (str(tmp_path), Points(22), CONFIG), "no-such-launcher")
