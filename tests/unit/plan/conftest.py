"""Plans of the two presets, and wildcards as Snakemake gives them."""

import pytest

from tsp.config.check import check_settings
from tsp.config.load import merge, read_folder
from tsp.plan.rules import Plan


class Wildcards(dict):
    """Values by name, as attributes and as keys."""

    __getattr__ = dict.__getitem__


@pytest.fixture
def w():
    """Wildcards from keyword arguments."""
    return lambda **values: Wildcards(values)


@pytest.fixture(scope="session")
def make_plan():
    """The plan of a preset with some values changed."""

    def make(preset, changes=None):
        values, files = read_folder(preset=preset)
        values = merge(values, changes or {})
        return Plan(check_settings(values, files), values)

    return make


@pytest.fixture(scope="session")
def demo(make_plan):
    return make_plan("demo")


@pytest.fixture(scope="session")
def paper(make_plan):
    return make_plan("paper")
