"""The results tree, and that the rules state no path of their own."""

import re

import pytest

from tsp.plan import paths

# A rule file opens with the paths that it needs and gives, for the reader.
DOCSTRING = re.compile(r'"""[\s\S]*?"""')


@pytest.fixture(scope="module")
def rule_files(repository):
    """Text of the Snakefile and of every rule file, without docstrings."""
    files = [repository / "Snakefile", *sorted((repository / "rules").glob("*.smk"))]
    assert len(files) == 8
    return {path.name: DOCSTRING.sub("", path.read_text()) for path in files}


def every_pattern():
    return [(folder, name, path) for folder in paths.TREE for name, path in paths.patterns(folder).items()]


def test_every_path_is_stated_once():
    found = [path for _, _, path in every_pattern()]
    assert len(found) > 50
    assert len(set(found)) == len(found)
    assert all(path.startswith(("results/", "logs/")) for path in found)


def test_every_class_is_in_the_tree():
    classes = {value for value in vars(paths).values() if isinstance(value, type)}
    assert classes == set(paths.TREE)


def test_rules_state_no_path(rule_files):
    for name, text in rule_files.items():
        assert not re.findall(r"""["']results\b.*""", text), name


def test_every_pattern_is_used(repository, rule_files):
    plan = "".join(path.read_text() for path in (repository / "src/tsp/plan").glob("*.py"))
    text = "".join(rule_files.values()) + plan
    unused = [f"{c.__name__}.{name}" for c, name, _ in every_pattern() if f"{c.__name__}.{name}" not in text]
    assert unused == ["Logs.LOG", "Logs.BENCHMARK"]


def test_rule_files_hold_rules_only(rule_files):
    for name, text in rule_files.items():
        assert not re.findall(r"^\s*def |\blambda\b", text, re.MULTILINE), name
        if name != "Snakefile":
            starts = set(re.findall(r"^(\S+)", text, re.MULTILINE))
            assert starts <= {"rule", "use"}, name


def test_logs_are_named_by_rule(rule_files):
    named = 0
    for text in rule_files.values():
        for block in re.split(r"^(?=rule |use rule )", text, flags=re.MULTILINE)[1:]:
            rule = re.match(r"(?:use rule \w+ as |rule )(\w+)", block)[1]
            logs = re.findall(r'"(logs/.*)"', block)
            jobs = {re.sub(r"\.\w+$", "", path.rpartition("/")[2]) for path in logs}
            named += len(logs)
            for job in jobs:
                assert set(logs) <= {p.format(rule=rule, job=job) for p in (paths.Logs.LOG, paths.Logs.BENCHMARK)}
    assert named > 60


def test_the_page_shows_the_tree(repository):
    text = (repository / "docs/architecture.md").read_text()
    assert f"```\n{paths.tree()}\n```" in text


def test_folders_end_in_a_slash():
    assert paths.is_folder(paths.Run.WORK)
    assert paths.is_folder(paths.Features.WORK)
    assert not paths.is_folder(paths.Features.SHARD)
    assert "log.jsonl, work/" in paths.tree()
