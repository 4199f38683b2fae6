"""The step that extracts the features of a shard, interrupted and started again under other conditions."""

import json
import runpy
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Wildcards
from unit.features.test_extract import FRAMES, TINY, data, write_manifest

from tsp.config.load import write_config
from tsp.config.resolved import ResolvedRun
from tsp.features import extract as module
from tsp.features.config import ExtractConfig
from tsp.io.features import FeatureFile
from tsp.io.files import sha256
from tsp.pretrain.config import RunConfig
from tsp.training.config import TrainerConfig

__all__ = ["data"]
MANIFEST, WORK, OUTPUT = "probe.csv", "results/work", "results/f.h5"


def configure(**trainer):
    run = RunConfig(encoder="tiny", trainer=TrainerConfig(**trainer))
    write_config("config.yaml", asdict(ResolvedRun(name="r", run=run, encoder=TINY)))


def list_videos():
    write_manifest(MANIFEST, FRAMES, {name: sha256(f"videos/{name}") for name in FRAMES})


@pytest.fixture
def extract(repository, monkeypatch):
    """Run the step; gives the names of the videos whose features are extracted."""
    real, seen = module.extract, []

    def spy(paths, *args, **options):
        seen.extend(path.name for path in paths)
        return real(paths, *args, **options)

    def run(code="1", **config):
        files = {"weights": "encoder.safetensors", "manifest": MANIFEST, "config": "config.yaml"}
        job = SimpleNamespace(
            rule="extract_features",
            input=InputFiles(fromdict=files),
            output=OutputFiles([OUTPUT]),
            params=Params(fromdict={"videos": "videos", "work": WORK, "config": asdict(ExtractConfig()), "code": code}),
            wildcards=Wildcards(fromdict={"stride": "4"}),
            log=Log(["logs/extract.log"]),
            threads=1,
            config=config,
        )
        seen.clear()
        script = repository / "workflow/scripts/extract_features.py"
        runpy.run_path(str(script), init_globals={"snakemake": job}, run_name="__main__")
        return list(seen)

    monkeypatch.setattr(module, "extract", spy)
    return run


@pytest.fixture
def interrupted(data, tmp_path, monkeypatch, extract):
    """The step after an interruption: all videos are finished, their file is not written."""
    shutil.copytree(data / "videos", tmp_path / "videos")
    shutil.copy(data / "encoder.safetensors", tmp_path)
    monkeypatch.chdir(tmp_path)
    configure()
    list_videos()
    with monkeypatch.context() as patch:
        patch.setattr(module, "feature_writer", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            extract()
    return extract


def refused(interrupted, capsys, **options):
    capsys.readouterr()
    with pytest.raises(SystemExit):
        interrupted(**options)
    return capsys.readouterr().err.splitlines()[-1]


def test_an_interrupted_shard_is_resumed(interrupted, tmp_path):
    assert interrupted() == []
    with FeatureFile(OUTPUT) as file:
        assert "resumed" not in file.attributes
    assert not (tmp_path / WORK).exists()


def test_only_a_replaced_video_is_extracted_again(interrupted):
    shutil.copy("videos/v_b.c.mp4", "videos/v_d.mp4")
    list_videos()
    assert interrupted() == ["v_d.mp4"]


def test_options_of_the_run_that_the_weights_do_not_show_do_not_matter(interrupted):
    configure(weight_decay=0.5)
    assert interrupted() == []


def test_other_code_is_refused_and_an_override_is_recorded(interrupted, capsys):
    assert refused(interrupted, capsys, code="2").endswith(
        "error: results/work: unfinished work that does not match the present code, settings and inputs: code of the"
        " step; delete results/work to start again, or resume it with --config resume=anyway"
    )
    assert interrupted(code="2", resume="anyway") == []
    with FeatureFile(OUTPUT) as file:
        assert json.loads(file.attributes["resumed"]) == ["code of the step"]


def test_other_weights_are_refused_and_never_mixed(interrupted, capsys):
    weights = Path("encoder.safetensors").read_bytes()
    Path("encoder.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    assert "inputs: input encoder.safetensors; delete" in refused(interrupted, capsys)
    assert interrupted(resume="anyway") == list(FRAMES)
