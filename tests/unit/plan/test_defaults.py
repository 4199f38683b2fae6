"""Defaults read from source text are those of the dataclasses."""

import json
import subprocess
import sys
from dataclasses import MISSING, asdict, fields, is_dataclass

import pytest

from tsp.plan.defaults import CLASSES, RUN, UNSTATED, compare, defaults, plain, settings_of
from tsp.resolve import resolve

METHODS = [f"tsp.localise.{name}:Config" for name in ("bmn", "gtad", "pgcn", "pgcn.method")]
OTHERS = ["tsp.caption.config:Config", "tsp.caption.config:CaptioningConfig", "tsp.config.settings:ExperimentConfig"]


@pytest.mark.parametrize("path", sorted({*CLASSES.values(), *RUN.values(), *METHODS, *OTHERS}))
def test_every_field_has_the_default_of_its_class(path):
    cls = resolve(path)
    found = defaults(path)
    assert list(found) == [f.name for f in fields(cls)]
    for field in fields(cls):
        if field.default is MISSING and field.default_factory is MISSING:
            assert found[field.name] is UNSTATED
        else:
            value = field.default if field.default_factory is MISSING else field.default_factory()
            assert found[field.name] == plain(asdict(value) if is_dataclass(value) else value), field.name


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from tsp.plan.defaults import defaults; assert defaults('tsp.localise.bmn:Config');"
        " assert not {'torch', 'pydantic', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_does_not_exist_has_no_defaults():
    assert defaults("tsp.localise.no_such:Config") == {}
    assert defaults("no_such.module:Config") == {}
    assert defaults("tsp.localise.bmn:NoSuch") == {}
    assert defaults(":Config") == {}


def test_differences_are_named_key_by_key():
    entry = {
        "run": {"encoder": "tiny", "heads": ["action"], "trainer": {"epochs": 9, "betas": [0.9, 0.999]}, "old": 1},
        "encoder": {"factory": "a:b"},
    }
    found = {s.key: s for s in settings_of("resolve_run", json.loads(json.dumps({"entry": entry})))}
    assert [key for key, s in found.items() if s.differs] == [
        "run.encoder",
        "run.heads",
        "run.trainer.epochs",
        "run.old",
        "encoder.factory",
    ]
    assert found["run.trainer.epochs"].default == 8
    assert not found["run.trainer.betas"].differs
    assert not found["run.old"].known


def test_methods_settings_are_compared_with_the_methods_config():
    entry = {
        "method": "tsp.localise.bmn",
        "dataset": "d",
        "settings": {"lr": 0.1, "bins": 32, "trainer": {"epochs": 3}},
    }
    for shape in (entry, {"name": "x", "experiment": entry}):
        found = {s.key.rpartition("settings.")[2]: s for s in settings_of("resolve_experiment", {"entry": shape})}
        assert (found["lr"].default, found["trainer.epochs"].default) == (0.0005, 10)
        assert found["lr"].differs
        assert not found["bins"].differs


def test_options_of_unknown_parameters_are_all_listed():
    (found,) = settings_of("sweep", {"grid": {"a": [1]}})
    assert found.differs
    assert found.value == {"a": [1]}


def test_an_optional_group_is_listed_in_full():
    found = list(compare({"windows": {"length": 3, "step": 2}}, {"windows": None}))
    assert [(s.key, s.value, s.known) for s in found] == [("windows.length", 3, False), ("windows.step", 2, False)]
