"""One identity of a video: its file name and its key follow from its name in one module."""

import ast
import re

import pytest

from tsp.names import ACTIVITYNET, activitynet_names, feature_key, file_name, possible_keys
from tsp.types import Video

# Not the end of a word such as "conv_".
PREFIX = re.compile(r"(^|[^0-9A-Za-z_])v_")


def prefixes(source):
    """Lines of code with the prefix in a text; docstrings do not count."""
    tree = ast.parse(source)
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in skipped)
    return [node.lineno for node in constants if isinstance(node.value, str) and PREFIX.search(node.value)]


def test_only_one_module_knows_the_prefix(repository):
    root = repository / "src/tsp"
    found = [str(path.relative_to(root)) for path in sorted(root.rglob("*.py")) if prefixes(path.read_text())]
    assert found == ["names.py"]


@pytest.mark.parametrize("code", ['name.removeprefix("v_")', 'f"v_{name}.mp4"', "raise E('names such as v_<id>')"])
def test_the_check_sees_a_prefix(code):
    assert prefixes(code) == [1]
    quiet = 'def f():\n    """Such as `v_<id>`."""\n    x = "conv_1"\n'
    assert prefixes(f"{quiet}    {code}") == [4]


@pytest.mark.parametrize(
    ("name", "prefix", "filename", "key"),
    [
        ("abc", ACTIVITYNET, "v_abc.mp4", "v_abc"),
        ("v_-x", ACTIVITYNET, "v_v_-x.mp4", "v_v_-x"),
        ("video_test_0000004", "", "video_test_0000004.mp4", "video_test_0000004"),
        ("a.b", "", "a.b.mp4", "a.b"),
    ],
)
def test_file_name_and_key_follow_from_the_name(name, prefix, filename, key):
    assert (file_name(name, prefix), feature_key(file_name(name, prefix))) == (filename, key)
    assert Video(name=name, filename=filename, subset="", duration_s=None, segments=()).key == key
    assert prefix != ACTIVITYNET or key in possible_keys(name)


def test_the_prefix_is_one_only_when_every_name_has_it():
    assert activitynet_names(["v_a", "v_v_b"]) == ["a", "v_b"]
    assert activitynet_names(["v_a", "b"]) == ["v_a", "b"]
    assert activitynet_names([]) == []
