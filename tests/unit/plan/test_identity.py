"""What counts as a difference between two runs of a step: code, options, inputs."""

from dataclasses import dataclass, field

import pytest

from tsp.plan import identity

STEP = "from tsp.a import f\n\n\ndef main(job):\n    f()\n"
OPTIONS = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    '''Options.'''

    lr: float = 0.1
    '''Rate.'''

    def __post_init__(self):
        assert self.lr > 0
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A small repository: a step imports a imports b imports c; d stands alone; c names a resource."""
    package = tmp_path / "src/tsp"
    package.mkdir(parents=True)
    (tmp_path / "workflow/scripts").mkdir(parents=True)
    (tmp_path / "workflow/scripts/step.py").write_text(STEP)
    (tmp_path / "resources").mkdir()
    (tmp_path / "resources/order.json").write_text("[1, 2]")
    (tmp_path / "resources/other.json").write_text("[]")
    files = {
        "__init__": "",
        "a": "from tsp.b import f\n",
        "b": "from tsp import c\n\ndef f():\n    return c.X\n",
        "c": 'X = 1\nORDER = "order.json"\nfrom tsp.options import Config\nfrom tsp.errors import E\n',
        "d": "Y = 1\n",
        "options": OPTIONS,
        "errors": "E = 1\n",
    }
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.setattr(identity, "SOURCE", tmp_path / "src")
    forget()
    yield package
    monkeypatch.undo()
    forget()


def forget():
    for cached in (identity.code, identity._path, identity._file, identity._content, identity._resources):
        cached.cache_clear()


def version(*dotted, options=False):
    forget()
    return identity.code("step", *dotted, options=options)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("c.py", 'X = 2\nORDER = "order.json"\nfrom tsp.options import Config\nfrom tsp.errors import E\n'),
        ("options.py", OPTIONS.replace("> 0", ">= 0")),
        ("__init__.py", '__version__ = "2"\n'),
        ("../../resources/order.json", "[2, 1]"),
        ("../../workflow/scripts/step.py", STEP.replace("f()", "f(), f()")),
    ],
)
def test_edits_that_count(library, file, text):
    before = version()
    (library / file).write_text(text)
    assert version() != before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("d.py", "Y = 2\n"),
        ("b.py", '"""Doc."""\nfrom tsp import c\n\n# why\ndef f():\n    "Doc."\n    return c.X\n'),
        ("../../workflow/scripts/step.py", STEP.replace("\n\n\n", "\n\n\n# why\n").replace("f()", "f( )")),
        ("../../resources/other.json", "[1]"),
        ("errors.py", "E = 2\n"),
        ("options.py", OPTIONS.replace("0.1", "0.2")),
        ("options.py", OPTIONS.replace("    def", "    new: int = 1\n    '''New.'''\n\n    def")),
    ],
)
def test_edits_that_do_not_count(library, file, text):
    before = version()
    (library / file).write_text(text)
    assert version() == before


def test_a_step_that_resolves_options_depends_on_them(library):
    before = version(options=True)
    (library / "options.py").write_text(OPTIONS.replace("0.1", "0.2"))
    assert version(options=True) != before


def test_a_field_without_docstring_is_code(library):
    before = version()
    (library / "options.py").write_text(OPTIONS.replace("    '''Rate.'''\n", ""))
    assert version() != before


def test_modules_named_by_the_configuration_count(library, tmp_path, monkeypatch):
    (tmp_path / "my_encoder.py").write_text("from my_layers import W\n")
    (tmp_path / "my_layers.py").write_text("W = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = version("my_encoder:net")
    assert before != version()
    (tmp_path / "my_layers.py").write_text("W = 2\n")
    assert version("my_encoder:net") != before


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("mine_a", "from mine_a.helper import K"),
        ("mine_b", "from .helper import K"),
        ("mine_c", "from mine_c import helper"),
        ("mine_d", "from . import helper"),
    ],
)
def test_a_package_of_the_user_counts_as_a_whole(library, tmp_path, monkeypatch, name, line):
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "reader.py").write_text(f"{line}\nimport numpy\n")
    (package / "helper.py").write_text("K = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = version(f"{name}.reader:read")
    (package / "helper.py").write_text("K = 2\n")
    assert version(f"{name}.reader:read") != before


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": 1}, {"a": 1.0}, ["o.a (1, now 1.0)"]),
        ({"a": True}, {"a": 1}, ["o.a (true, now 1)"]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ["order of o"]),
    ],
)
def test_type_and_order_count(old, new, found):
    assert identity.differences({"params": {"o": old}}, {"params": {"o": new}}) == found


def test_inputs_in_exchanged_roles_differ():
    old = {"roles": {"train": ["a"], "valid": ["b"], "rest": ["c", "d"]}, "inputs": {"a": "1", "b": "2"}}
    new = {"roles": {"train": ["b"], "valid": ["a"], "rest": ["c", "d"]}, "inputs": {"a": "1", "b": "2"}}
    assert identity.differences(old, new) == ["files of input train", "files of input valid"]
    assert identity.differences(old, {**old, "roles": {**old["roles"], "rest": ["d", "c"]}}) == ["files of input rest"]


def test_installed_modules_do_not_count(library):
    assert identity.modules(["json", "numpy", "torchvision.models"]) == {}
    assert set(identity.modules(["tsp.d"])) == {"tsp.d", "tsp"}


def test_readers_encoders_and_methods_of_the_real_library_count():
    forget()
    parts = identity.modules(["tsp.encoders.video_resnet", "tsp.datasets.thumos14", "tsp.report.markup"])
    assert {"tsp.encoders.video_resnet", "thumos14_class_order.json", "templates"} <= set(parts)
    assert not {name for name in parts if name.startswith(("tsp.plan", "tsp.steps", "tsp.errors"))}


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 3


@dataclass(frozen=True, kw_only=True)
class Options:
    name: str
    rates: tuple[float, ...] = (0.1, 0.2)
    inner: Inner = field(default_factory=Inner)
    nested: Inner


OLD = {"name": "a", "rates": [0.1, 0.2], "inner": {"size": 3}, "nested": {"size": 1}}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (OLD, OLD, []),
        ({**OLD, "inner": {}}, OLD, []),
        ({k: v for k, v in OLD.items() if k != "rates"}, OLD, []),
        ({k: v for k, v in OLD.items() if k != "rates"}, {**OLD, "rates": [0.3]}, ["o.rates (null, now [0.3])"]),
        ({**OLD, "nested": {}}, {**OLD, "nested": {"size": 3}}, []),
        ({**OLD, "nested": {}}, OLD, ["o.nested.size (null, now 1)"]),
        ({**OLD, "gone": 1}, OLD, ["o.gone (1, now null)"]),
        (OLD, {**OLD, "inner": {"size": 4}}, ["o.inner.size (3, now 4)"]),
    ],
)
def test_differences_of_settings(old, new, found):
    assert identity.differences({"params": {"o": old}}, {"params": {"o": new}}, {"o": Options}) == found


def test_differences_of_code_and_inputs_are_named():
    old = {"code": "1", "modules": {"tsp.a": "x", "tsp.b": "y"}, "inputs": {"a.csv": "1", "b.csv": "2"}}
    new = {"code": "2", "modules": {"tsp.a": "z", "tsp.b": "y"}, "inputs": {"a.csv": "1", "c.csv": "2"}}
    assert identity.differences(old, new) == ["code of tsp.a", "input b.csv", "input c.csv"]
    assert identity.differences({**old, "code": "0"}, {**old, "code": "1"}) == ["code of the step"]
