"""Steps that resume unfinished work only under the same code, settings and inputs."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from unit.training.test_fit import Killed, killed_at
from unit.training.toy import Classify, Points

from tsp import steps
from tsp.config.load import read_yaml, write_config
from tsp.encoders.weights import load_state
from tsp.io import records
from tsp.io.features import FeatureFile, add_resumed, feature_writer, merge_features
from tsp.io.files import read_json
from tsp.plan.unfinished import Unfinished
from tsp.training.checkpoint import FREE, STATE
from tsp.training.config import TrainerConfig
from tsp.training.fit import fit
from tsp.training.save import save_trained

WORK = Path("results/work")
TRAINER = {"epochs": 3, "batch_size": 4, "log_every": 2, "checkpoint_every": 2, "weight_decay": 0.0, "keep": "last"}


class Named(list):
    """Files with names, as Snakemake gives them."""

    def __init__(self, **named):
        super().__init__(named.values())
        self.named = named
        self.__dict__.update(named)

    def __getitem__(self, name):
        return self.named[name] if isinstance(name, str) else super().__getitem__(name)

    def get(self, name):
        return self.named.get(name)


class Params(dict):
    def __getattr__(self, name):
        return self[name]


class Step:
    """A training whose data are drawn from an input; `trainer` are settings in its config.yaml."""

    def __init__(self, folder):
        self.folder = folder
        Path("in.txt").write_text("0")
        self.configure()

    def configure(self, **trainer):
        write_config("config.yaml", {"method": "unit.training.toy", "trainer": {**TRAINER, **trainer}})
        self.trainer = TrainerConfig(**{**TRAINER, **trainer})

    def main(self, job, kill=None):
        task = Classify() if kill is None else killed_at(Classify(), kill)
        data = Points(noise=0.1 + float(Path("in.txt").read_text()))
        result = fit(task, data, Points(9), self.trainer, WORK, device="cpu")
        save_trained(Path(job.output.weights), result, {"epochs": result.history}, WORK)

    def run(self, *, code="1", kill=None, **config):
        job = SimpleNamespace(
            log=[str(self.folder / "logs/train.log")],
            rule="train",
            input=Named(config="config.yaml", data="in.txt"),
            output=Named(weights="results/w.safetensors", facts="results/w.json", log="results/log.jsonl"),
            params=Params(code=code, work=str(WORK)),
            wildcards={},
            config=config,
        )
        for path in job.output:
            Path(path).unlink(missing_ok=True)
        unfinished = Unfinished(state=STATE, free=FREE, read_config=read_yaml)
        steps.run_step(lambda job: self.main(job, kill), job, unfinished=unfinished)

    def refused(self, capsys, **options):
        """The line of a refused run, which leaves the work as it is."""
        before = {path.name: path.read_bytes() for path in WORK.iterdir()}
        capsys.readouterr()
        with pytest.raises(SystemExit):
            self.run(**options)
        assert {path.name: path.read_bytes() for path in WORK.iterdir()} == before
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert f"delete {WORK} to start again, or resume it with --config resume=anyway" in lines[0]
        return lines[0]


def weights():
    return load_state("results/w.safetensors")


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture
def training(tmp_path, monkeypatch):
    """A step whose training was interrupted in its second epoch."""
    monkeypatch.chdir(tmp_path)
    step = Step(tmp_path)
    with pytest.raises(Killed):
        step.run(kill=10)
    assert (WORK / STATE).exists()
    return step


def clean(training, **options):
    """Weights of an uninterrupted run."""
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.rmtree(records.FOLDER, ignore_errors=True)
    training.run(**options)
    return weights()


def test_the_same_code_resumes_with_the_same_bits(training):
    training.run()
    resumed = weights()
    assert "resumed" not in read_json("results/w.json")
    assert records.read("results/w.json")["overrides"] == []
    assert sorted(path.name for path in WORK.iterdir()) == ["log.jsonl"]
    assert equal(resumed, clean(training))


def test_other_code_is_refused_and_after_deleting_the_work_equals_a_clean_run(training, capsys):
    assert "inputs: code of the step; delete" in training.refused(capsys, code="2")
    shutil.rmtree(WORK)
    training.run(code="2")
    again = weights()
    assert equal(again, clean(training, code="2"))


def test_the_changed_module_is_named(training, capsys, monkeypatch):
    from tsp.plan import identity

    real = identity.modules
    monkeypatch.setattr(identity, "modules", lambda *a, **k: real(*a, **k) | {"tsp.pretrain.model": "edited"})
    assert "code of tsp.pretrain.model;" in training.refused(capsys, code="2")


def test_a_method_outside_the_library_is_named(training, capsys, monkeypatch):
    from tsp.plan import identity

    real = identity.modules
    edited = {"unit.training.toy": "edited"}
    monkeypatch.setattr(identity, "modules", lambda *a, **k: real(*a, **k) | edited)
    assert "code of unit.training.toy;" in training.refused(capsys, code="2")


def test_other_settings_are_named_with_both_values(training, capsys):
    training.configure(weight_decay=0.1)
    assert "inputs: settings.trainer.weight_decay (0.0, now 0.1); delete" in training.refused(capsys)


def test_another_input_is_named(training, capsys):
    Path("in.txt").write_text("1")
    assert "inputs: input in.txt; delete" in training.refused(capsys)


def test_when_something_is_written_may_change(training):
    training.configure(log_every=1, checkpoint_every=None)
    training.run()
    resumed = weights()
    training.configure()
    assert equal(resumed, clean(training))


def test_an_override_resumes_and_is_recorded(training, capsys):
    training.run(code="2", resume="anyway")
    assert "resuming despite differences (resume=anyway): code of the step" in capsys.readouterr().err
    assert read_json("results/w.json")["resumed"] == ["code of the step"]
    assert records.read("results/w.safetensors")["overrides"] == ["code of the step"]
    resumed = weights()
    # The work was used: these are the weights of the whole training under unchanged code.
    assert equal(resumed, clean(training))


def test_an_override_stays_recorded_when_interrupted_again(training):
    with pytest.raises(Killed):
        training.run(code="2", kill=2, resume="anyway")
    training.run(code="2")
    assert read_json("results/w.json")["resumed"] == ["code of the step"]


def test_overridden_settings_apply_from_there_on(training):
    training.configure(weight_decay=0.5, epochs=4)
    training.run(resume="anyway")
    assert len(read_json("results/w.json")["epochs"]) == 4
    found = ["settings.trainer.epochs (3, now 4)", "settings.trainer.weight_decay (0.0, now 0.5)"]
    assert read_json("results/w.json")["resumed"] == found
    resumed = weights()
    training.configure(epochs=4)
    assert not equal(resumed, clean(training))


def test_a_state_of_another_optimiser_cannot_be_resumed(training, capsys):
    training.configure(optimizer="adam")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        training.run(resume="anyway")
    assert "does not fit the present model and optimiser" in capsys.readouterr().err


def test_work_of_an_earlier_version_is_refused(training, capsys):
    (WORK / "identity.json").unlink()
    assert "made by an earlier version" in training.refused(capsys)


def test_finished_outputs_are_kept_without_a_look_at_the_work(training):
    training.run()
    WORK.joinpath(STATE).touch()
    training.run()
    assert records.read("results/w.json")["kept"]


def features(path, name, resumed=None):
    with feature_writer(path, {"stride": 16}) as writer:
        writer.write(name, [[1.0]])
    if resumed:
        job = SimpleNamespace(output=Named(file=path), params=SimpleNamespace(work=path.parent / "work"))
        Unfinished(state="*.npz", state_in=add_resumed).finish(job, resumed)
    return path


def test_resumed_shards_are_stated_in_the_feature_file_of_the_subset(tmp_path):
    shards = [features(tmp_path / "0.h5", "a"), features(tmp_path / "1.h5", "b", ["code of x"])]
    shards.append(features(tmp_path / "2.h5", "c", ["code of x", "input w"]))
    merge_features(shards, tmp_path / "all.h5")
    with FeatureFile(tmp_path / "all.h5") as file:
        assert file.attributes["resumed"] == '["code of x", "input w"]'
    merge_features(shards[:1], tmp_path / "none.h5")
    with FeatureFile(tmp_path / "none.h5") as file:
        assert "resumed" not in file.attributes


def test_every_step_with_a_work_folder_guards_it(repository):
    rules = "".join(path.read_text() for path in (repository / "rules").glob("*.smk"))
    blocks = [block for block in rules.split("\nrule ")[1:] if "        work=" in block]
    assert len(blocks) == 5
    for block in blocks:
        script = block.split("scripts/")[1].split('"')[0]
        assert "unfinished=" in (repository / "workflow/scripts" / script).read_text(), script
