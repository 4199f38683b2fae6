"""Every environment file, solved and installed for the workflow, and what its steps import, imported there.

The packages are those of this Python environment under conda-forge's names: whether conda-forge has these very
builds can be told only there.
"""

import asyncio
import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from deployment.channel import build_channel

index_fs = pytest.importorskip("rattler.index", reason="py-rattler is not installed").index_fs

IMPORTS = """
import importlib.util, sys
sys.path.append(sys.argv[1])
for path in sys.argv[2:]:
    spec = importlib.util.spec_from_file_location("step", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""


@pytest.fixture(scope="module")
def files(repository):
    return {path.stem: yaml.safe_load(path.read_text())["dependencies"] for path in repository.glob("envs/*.yaml")}


@pytest.fixture(scope="module")
def conda(files, repository, tmp_path_factory):
    """A folder whose `bin` has `conda` and `activate`."""
    folder = tmp_path_factory.mktemp("conda")
    build_channel(folder / "channel", {entry.split()[0] for entries in files.values() for entry in entries})
    asyncio.run(index_fs(folder / "channel", write_zst=False, write_shards=False))
    (folder / "bin").mkdir()
    command = folder / "bin/conda"
    command.write_text(f"#!{sys.executable}\n" + (repository / "tests/deployment/conda.py").read_text())
    command.chmod(0o755)
    (folder / "bin/activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')
    return folder


@pytest.fixture(scope="module")
def snakemake_in_conda(conda, repository, tmp_path_factory):
    """Call `snakemake --sdm conda` with the stand-in."""
    folder = tmp_path_factory.mktemp("run")

    def run(*arguments):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        environment |= {"PATH": f"{conda / 'bin'}:{environment['PATH']}", "TEST_CHANNEL": str(conda / "channel")}
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", repository / "Snakefile"]
        command += ["--directory", folder, "--sdm", "conda", "--conda-prefix", conda / "envs", *arguments]
        done = subprocess.run(list(map(str, command)), cwd=repository, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return folder, done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def deployed(conda, snakemake_in_conda, repository):
    """Prefix of each environment file."""
    snakemake_in_conda("--conda-create-envs-only", "--", "all", "captions")
    copies = {path.read_text(): path.with_suffix("") for path in (conda / "envs").glob("*.yaml")}
    return {path.stem: copies[path.read_text()] for path in repository.glob("envs/*.yaml")}


def test_versions_are_the_pinned_ones(deployed, files):
    for name, prefix in deployed.items():
        records = [json.loads(path.read_text()) for path in (prefix / "conda-meta").glob("*.json")]
        found = {record["name"]: record["version"] for record in records}
        for entry in files[name]:
            package, _, version = entry.partition(" =")
            assert found[package].startswith(version), f"{name}: {entry}"


@pytest.mark.parametrize("name", ["captions", "download", "report", "tsp"])
def test_steps_import_in_their_environment_alone(deployed, repository, name):
    rules = "".join(path.read_text() for path in repository.glob("rules/*.smk"))
    blocks = [block for block in re.split(r"^(?=rule )", rules, flags=re.MULTILINE) if f"envs/{name}.yaml" in block]
    scripts = sorted({re.search(r"workflow/scripts/\w+\.py", block)[0] for block in blocks})
    assert scripts
    command = [deployed[name] / "bin/python", "-I", "-c", IMPORTS, repository / "src", *scripts]
    done = subprocess.run(list(map(str, command)), cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]


def test_an_environment_has_nothing_else(deployed):
    for name, foreign in (("report", "torch"), ("tsp", "snakemake"), ("download", "matplotlib")):
        command = [str(deployed[name] / "bin/python"), "-I", "-c", f"import {foreign}"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert f"No module named '{foreign}'" in done.stderr


def test_a_step_runs_in_it(deployed, snakemake_in_conda):
    target = "results/pretrain/mini_tsp/config.yaml"
    folder, told = snakemake_in_conda("--", target)
    assert (folder / target).is_file()
    assert "Activating conda environment" in told
