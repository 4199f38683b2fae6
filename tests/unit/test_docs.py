"""Links and commands of README and docs lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tsp import __version__
from tsp.cli import _parser
from tsp.config import differences

LINK = re.compile(r"\]\(([^)#\s]+)\)")
COMMAND = re.compile(r"`tsp ([a-z][^`]*)`|^(?:\.venv/bin/)?tsp ([a-z].*)$", re.MULTILINE)


def pages(repository):
    return [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]


def test_links_within_the_repository(repository):
    for page in pages(repository):
        for link in LINK.findall(page.read_text()):
            if not link.startswith(("http:", "https:")):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_differences_are_in_sync(repository):
    """`tsp schema` rewrites them."""
    found = (repository / "docs/differences.md").read_text()
    assert found == differences.page(repository / "src/tsp")
    assert "- `extraction_frames`" in found or "- `clip_frames`" in found


def test_commands_have_the_options_that_are_named(repository, capsys):
    known = commands(_parser())
    for page in pages(repository):
        for found in COMMAND.findall(page.read_text()):
            # Behind ` -- ` stand arguments of Snakemake.
            text = (found[0] or found[1]).split(" #")[0].split(" -- ")[0]
            words = shlex.split(re.sub(r"[|…\\]", " ", text))
            name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in known), None)
            assert name, f"{page.name}: tsp {text}"
            options = {word.split("=")[0].strip("[]") for word in words if word.strip("[").startswith("--")} - {"--"}
            said = known[name].format_help()
            for option in options:
                assert option in said, f"{page.name}: tsp {name} has no {option}"


def commands(parser):
    """Parsers by command, `evaluate detection` included."""
    found = {}
    for action in parser._actions:
        for name, inner in (getattr(action, "choices", None) or {}).items() if hasattr(action, "add_parser") else ():
            found[name] = inner
            found |= {f"{name} {deeper}": p for deeper, p in commands(inner).items()}
    return found


@pytest.mark.parametrize("word", ["detection", "proposals", "classification", "captions", "errors"])
def test_every_task_teaches(word, capsys):
    with pytest.raises(SystemExit):
        _parser().parse_args(["evaluate", word, "--help"])
    said = capsys.readouterr().out
    assert "--ground-truth" in said or "--references" in said
    assert len(said) > 400


def as_a_reader(folder, *command):
    """Run a command of the documentation as typed in a fresh shell: nothing but PATH and HOME, in the given folder."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed():
    """`.venv/bin` of `make venv`; the suite runs in that environment."""
    folder = Path(sys.executable).parent
    assert (folder / "tsp").exists(), "tsp is not installed; run `make venv`"
    return folder


def test_version_without_an_environment(installed, tmp_path):
    done = as_a_reader(tmp_path, installed / "tsp", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"tsp {__version__}"), done.stderr


def test_commands_of_the_pages_run_without_an_environment(repository, installed, tmp_path):
    """Every command that a page names finds its library: its help, and `tsp check` and `tsp schema` themselves."""
    named = {found[0] or found[1] for page in pages(repository) for found in COMMAND.findall(page.read_text())}
    known = commands(_parser())
    used = {next(" ".join(text.split()[:n]) for n in (2, 1) if " ".join(text.split()[:n]) in known) for text in named}
    assert {"check", "status", "evaluate detection"} <= used
    for words in sorted(used):
        done = as_a_reader(tmp_path, installed / "tsp", *words.split(), "--help")
        assert done.returncode == 0, f"tsp {words}: {done.stderr}"
    done = as_a_reader(repository, installed / "tsp", "check")
    assert done.returncode == 0, done.stderr


def test_snakemake_of_the_readme_runs_without_an_environment(repository, installed, tmp_path):
    found = re.findall(r"^\.venv/bin/snakemake (.*?)(?: +#.*)?$", (repository / "README.md").read_text(), re.MULTILINE)
    assert found
    done = as_a_reader(tmp_path, installed / "snakemake", "-s", repository / "Snakefile", "--cores", "all", "-n", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
