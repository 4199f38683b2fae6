"""What is made again after a change: dry runs over a miniature, ablations included, that passes for finished."""

import shutil
from pathlib import Path

import pytest

SMALL = Path(__file__).with_name("small.yaml")
TARGETS = ("--", "all", "ablations")


def written(done):
    """Output files of each job of a dry run."""
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    return [line.removeprefix("    output: ").split(", ") for line in lines if line.startswith("    output: ")]


@pytest.fixture(scope="module")
def finished(snakemake, tmp_path_factory):
    """Every file is there, empty, and Snakemake's records say that the present parameters made it."""
    folder = tmp_path_factory.mktemp("finished")
    planned = written(snakemake(folder, "--dry-run", "--configfile", SMALL, *TARGETS))
    for path in (path for files in planned for path in files):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    done = snakemake(folder, "--touch", "--forceall", "--configfile", SMALL, *TARGETS)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_nothing_is_left_to_do(snakemake, finished):
    done = snakemake(finished, "--dry-run", "--configfile", SMALL, *TARGETS)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_changed_run_reruns_its_jobs_only(snakemake, finished, tmp_path):
    change = tmp_path / "change.yaml"
    change.write_text("runs:\n  mini_tac: {head_lr: 2.0e-3}\n")
    done = snakemake(finished, "--dry-run", "--configfile", SMALL, change, "--", "all")
    lines = (done.stdout + done.stderr).splitlines()
    runs = {line.split("run=")[1].split(",")[0] for line in lines if "wildcards:" in line and "run=" in line}
    rules = {line.split()[1].rstrip(":") for line in lines if line.startswith(("rule ", "localrule "))}
    # mini_tac's action head also gives every experiment its video-level classes.
    assert "mini_tac" in runs
    assert not {"render", "download", "standardise", "probe", "segments", "gvf"} & rules
    outputs = written(done)
    trained = [files for files in outputs if files[0].startswith("results/pretrain/")]
    assert trained
    assert all(files[0].startswith("results/pretrain/mini_tac/") for files in trained)
    extracted = [files for files in outputs if files[0].startswith("results/features/")]
    assert extracted
    assert all(files[0].startswith("results/features/mini_tac/") for files in extracted)
    localised = [files[0] for files in outputs if files[0].endswith("weights.safetensors")]
    assert all("/mini_tac/seed0/" in path for path in localised)
    assert len(localised) == 3  # G-TAD, BMN, P-GCN


def test_a_deleted_ablation_is_made_again_alone(snakemake, finished, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(finished, folder, symlinks=True)
    shutil.rmtree(folder / "results/experiments/gtad_synthetic_stride16")
    for path in (folder / "results/tables").glob("miniature_stride.*"):
        path.unlink()
    outputs = written(snakemake(folder, "--dry-run", "--configfile", SMALL, *TARGETS))
    assert ["results/experiments/gtad_synthetic_stride16/mini_tac/seed0/scores.json"] in outputs
    made = {path.rsplit("/", 1)[0] for files in outputs for path in files}
    stems = ("results/experiments/gtad_synthetic_stride16", "results/tables", "results/report")
    assert all(path.startswith(stems) for path in made), made
    tables = {Path(path).stem for files in outputs for path in files if path.startswith("results/tables/")}
    assert tables == {"miniature_stride"}
