"""Links and commands of README and docs work."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tsp import __version__
from tsp.cli import _parser
from tsp.config import differences

LINK = re.compile(r"\]\(([^)#\s]+)\)")
COMMAND = re.compile(r"`(?:\.venv/bin/)?tsp ([a-z][^`]*)`|^ *(?:\.venv/bin/)?tsp ([a-z].*)$", re.MULTILINE)
DOTTED = re.compile(r"`(tsp(?:\.\w+)+)")
FENCED = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
# What a fresh clone runs with; tests, docs and the like are not needed.
CLONE = ("Snakefile", "rules", "workflow", "src", "config", "profiles", "envs", "resources")


def pages(repository):
    return [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]


def test_links_within_the_repository(repository):
    for page in pages(repository):
        for link in LINK.findall(page.read_text()):
            if not link.startswith(("http:", "https:")):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_names_of_the_library_exist(repository):
    """Every `tsp.module.name` of the pages is a module, or is defined in one."""
    for page in pages(repository):
        for name in DOTTED.findall(page.read_text()):
            parts = name.split(".")
            folder = next(n for n in range(len(parts), 0, -1) if source(repository, parts[:n]))
            text = source(repository, parts[:folder]).read_text()
            for inner in parts[folder : folder + 1]:
                pattern = rf"^(def|class) {inner}\b|^{inner}\b.*=|import .*\b{inner}\b"
                assert re.search(pattern, text, re.MULTILINE), f"{page.name}: {name}"


def source(repository, parts):
    """File of a module or package."""
    path = repository.joinpath("src", *parts)
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


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


@pytest.fixture(scope="module")
def clone(repository, installed, tmp_path_factory):
    """A fresh clone after `make venv`: no data and no results."""
    folder = tmp_path_factory.mktemp("clone")
    for name in CLONE:
        source = repository / name
        ignored = shutil.ignore_patterns("__pycache__", ".snakemake")
        shutil.copytree(source, folder / name, ignore=ignored) if source.is_dir() else shutil.copy(source, folder)
    (folder / ".venv").symlink_to(installed.parent)
    return folder


def lines_of(text):
    """Shell lines of the fenced blocks that start with `.venv/bin/` or write a file, in order, as `typed` runs them."""
    lines = [line.split(" #")[0].strip() for block in FENCED.findall(text) for line in block.splitlines()]
    return list(dict.fromkeys(planned(line) for line in lines if line.startswith((".venv/bin/", "echo "))))


def planned(line):
    """The line, with Snakemake planning the jobs instead of running them."""
    return re.sub(r"^\.venv/bin/snakemake(?! -n)", ".venv/bin/snakemake -n", line)


def typed(clone, line):
    """Run a line of the README in a shell with an empty environment."""
    return as_a_reader(clone, "bash", "-c", planned(line))


def is_user_error(done, line):
    """One line that names a file of the command."""
    (message,) = done.stderr.strip().splitlines()
    file = re.match(r"error: (\S+?):? ", message)
    return done.returncode == 1 and file is not None and file[1] in shlex.split(line)


def test_readme_runs_in_a_fresh_clone_in_its_order(repository, clone):
    """Lines of the paper preset fail without annotations, as documented, and plan the jobs with them."""
    text = (repository / "README.md").read_text()
    lines = lines_of(text)
    paper = [line for line in lines if line.startswith(".venv/bin/snakemake") and "preset=paper" in line]
    assert len(paper) == 2
    assert any(line.startswith(".venv/bin/tsp") for line in lines)
    for line in lines:
        done = typed(clone, line)
        output = done.stdout + done.stderr
        if line not in paper:
            assert done.returncode == 0, f"{line}: {output}"
            continue
        assert done.returncode == 1, line
        assert "Missing input files" in output, output
        assert "data/activitynet/activity_net.v1-3.min.json" in output, output
        assert "Traceback" not in output, output
    assert "`Missing input files`" in text
    # The second overlay needs the two rows of ActivityNet alone, the whole preset those of every row.
    places = re.findall(r"^ *\| `(data/[^`]+)` \|", text, re.MULTILINE)
    for place, expected in zip(places, (None, [0, 1], None, [1, 1]), strict=True):
        done = as_a_reader(clone, "bash", "-c", f"mkdir -p {Path(place.split('{')[0] + 'x').parent}; touch {place}")
        assert done.returncode == 0, done.stderr
        if expected:
            found = [typed(clone, line) for line in paper]
            assert [done.returncode == 0 for done in found] == expected, found[-1].stdout + found[-1].stderr


def test_tasks_of_the_readme_run_in_a_fresh_clone(repository, clone):
    """Commands in the text; those on files that only the user has end with the documented error."""
    text = (repository / "README.md").read_text()
    spans = sorted(set(SPAN.findall(FENCED.sub("", text))))
    assert not [span for span in spans if span.startswith(("tsp ", "snakemake "))], "start with .venv/bin/"
    commands_found = [span for span in spans if span.startswith(".venv/bin/") and " " in span]
    assert len(commands_found) > 8
    assert "`error: <file>: <what is wrong>`" in text
    failed = []
    for line in commands_found:
        done = typed(clone, line)
        if done.returncode:
            assert line.startswith(".venv/bin/tsp ") and is_user_error(done, line), f"{line}: {done.stderr}"
            failed.append(line.split()[1])
    assert sorted(failed) == ["evaluate", "evaluate", "export", "predict", "trace"]
