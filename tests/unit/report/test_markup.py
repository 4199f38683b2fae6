"""Templates: what they show is escaped, they are installed with the package, and fragments survive their page."""

import tomllib

import pytest
from jinja2 import UndefinedError

from tsp.errors import TspError
from tsp.report.markup import TEMPLATES, _environment, data_url, read_fragment, render, write_standalone

TABLE = {
    "title": "<b> & 'c'",
    "miniature": False,
    "warning": "",
    "note": "",
    "warnings": [],
    "summary": "",
    "header": ["x"],
    "lines": [{"kind": "ours", "sub": True, "label": "a", "cells": [("1 < 2", "[1]"), ("3", "")]}],
    "legend": "",
    "sources": [],
}


def test_values_are_escaped():
    found = render("table.html.j2", TABLE)
    assert "&lt;b&gt; &amp; &#39;c&#39;" in found
    assert "<td>1 &lt; 2<sup>[1]</sup></td><td>3</td>" in found
    assert '<tr class="ours sub">' in found


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError, match="legend"):
        render("table.html.j2", {name: value for name, value in TABLE.items() if name != "legend"})


def test_a_fragment_is_read_back_as_it_was_written(tmp_path):
    content = render("table.html.j2", TABLE)
    write_standalone(tmp_path / "a.html", "A <title>", content)
    page = (tmp_path / "a.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<title>A &lt;title&gt;</title>" in page
    assert read_fragment(tmp_path / "a.html") == content
    (tmp_path / "b.html").write_text("<html></html>")
    with pytest.raises(TspError, match=r"b\.html: not a page with a table"):
        read_fragment(tmp_path / "b.html")


def test_a_table_without_header_or_class_has_neither():
    grid = "{% from 'grid.html.j2' import grid %}{{ grid(header, rows, kind) }}"
    template = _environment().from_string(grid)
    bare = template.render(header=[], rows=[["a", 1]], kind="")
    assert "<thead>" not in bare
    assert "<table>" in bare
    assert '<tr><th scope="row">a</th><td>1</td></tr>' in bare
    assert '<table class="text">' in template.render(header=["h"], rows=[], kind="text")


def test_data_url():
    assert data_url(b"\0\1", "image/png") == "data:image/png;base64,AAE="


def test_every_template_is_package_data(repository):
    settings = tomllib.loads((repository / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["tsp.report"]
    found = {path for pattern in patterns for path in (repository / "src/tsp/report").glob(pattern)}
    assert found == set(TEMPLATES.iterdir())
    assert {path.name for path in found} >= {"document.html.j2", "style.css"}
