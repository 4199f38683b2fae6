"""Code versions."""

import pytest

from tsp.plan import identity


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A small `tsp` package: a imports b imports c; d stands alone."""
    package = tmp_path / "tsp"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from tsp.b import f\n")
    (package / "b.py").write_text("from tsp import c\n\ndef f():\n    return c.X\n")
    (package / "c.py").write_text("X = 1\n")
    (package / "d.py").write_text("Y = 1\n")
    monkeypatch.setattr(identity, "SOURCE", tmp_path)
    forget()
    yield package
    monkeypatch.undo()
    forget()


def forget():
    for cached in (identity.code_version, identity._path, identity._module):
        cached.cache_clear()


def version():
    forget()
    return identity.code_version("tsp.a")


def test_an_edit_two_imports_deep_changes_the_version(library):
    before = version()
    (library / "c.py").write_text("X = 2\n")
    assert version() != before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("d.py", "Y = 2\n"),
        ("c.py", "# why\nX = 1\n"),
        ("b.py", '"""Doc."""\nfrom tsp import c\n\ndef f():\n    "Doc."\n    return c.X\n'),
    ],
)
def test_comments_docstrings_and_unrelated_modules_change_nothing(library, file, text):
    before = version()
    (library / file).write_text(text)
    assert version() == before
