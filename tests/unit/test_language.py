"""Documentation, docstrings, comments and messages contain no phrase of a list of unidiomatic ones."""

import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

# Phrase -> what to write instead. Letters match in either case; a space matches any white space; `|` and `?` as in
# regular expressions.
PHRASES = {
    "what is still on line": "videos that are still available",
    "mend its rights": "fix its permissions",
    "goes on where it was": "resumes from its last checkpoint",
    "tells the rest": "documents all options",
    "retries for what may pass": "retries transient errors",
    "brought into the discipline of our own": "converted to our format",
    "mend|mends|mended|mending": "fix",
    "told": "reported",
    "tells": "reports, states",
    "tell of|tell about": "describe",
    "on line": "available, online",
    "go on|goes on|going on|went on": "continue, resume",
    "may pass": "is transient",
    "the rest(?! of)": "name it: the other rows, the remaining jobs",
    "passes for|pass for": "counts as",
    "has left": "has closed",
    "its own words|their own words|in the words of": "quote it",
    "discipline": "format, conventions",
    "what is there|what was there|what is there is kept": "existing files",
    "is there twice|are there twice": "occurs twice",
    "by itself|by themselves": "automatically, alone",
    "said of|said to|said about": "state it",
    "says? of|say of": "states about",
    "speaks? of": "describes",
    "at hand|in hand": "available",
    "be had": "available",
    "anew": "again",
    "once more": "again",
    "for ever": "forever, indefinitely",
    "ends? well|ended well": "succeeds",
    "make good|makes good": "repair",
    "left to chance": "undefined",
    "play the part|plays the part": "takes the place",
    "be rid of": "remove",
    "out of reach": "unreachable",
    "to spare": "available",
    "laid over": "overlay",
    "rights": "permissions",
    "sums? of (the|a) (file|folder)|sums of everything": "checksum",
    "the nouns of": "the types of",
    "nobody": "use the passive",
    "hands? on|handed on|passed over": "pass on, skip",
    "a hand": "a user",
    "wants? to see": "expects",
    "knows? no|knows? nothing": "has no, does not depend on",
    "nothing but": "only",
    "whoever": "regardless of who",
    "behind (the|its|their)": "after",
    "in vain": "without result",
    "thin out|thinned out": "subsample",
    "of its own accord": "automatically",
    "and its like": "and similar",
    "come to light": "is found",
    "whatever became of": "regardless of the result of",
    "thereof|whereof|wherein|therein|hitherto|henceforth|lest": "use a plain word",
    "so to speak|as it were": "leave it out",
    "would have it": "specify",
    "bears? the name": "is called",
    "is no more": "no longer exists",
    "by the way": "leave it out",
    "come what may": "in every case",
    "is of no help|of no interest": "does not help, is not used",
}
PATTERNS = [
    (re.compile(rf"(?<![\w-])(?:{phrase})(?![\w-])".replace(" ", r"\s+"), re.IGNORECASE), instead)
    for phrase, instead in PHRASES.items()
]
FOLDERS = ("docs", "src", "rules", "workflow", "config", "profiles", "envs", "containers", "notebooks", "benchmarks")
FOLDERS += ("tests/faults", "tests/slurm")
STRING = re.compile(r"""^([a-z]*)('''|\"""|'|")(.*)\2$""", re.DOTALL | re.IGNORECASE)
REPLACED_FIELD = re.compile(r"\{[^{}]*\}")
Passage = tuple[int, str]


def of_code(text: str) -> Iterator[Passage]:
    """First line and text of every block of comments and of every string, implicit concatenation included."""
    skipped = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    strings: list[Passage] = []
    comments: list[Passage] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if comments and token.start[0] != comments[-1][0] + 1:
                yield joined(comments)
                comments = []
            comments.append((token.start[0], token.string.lstrip("#")))
        elif token.type == tokenize.STRING:
            strings.append((token.start[0], content(token.string)))
        elif tokenize.tok_name[token.type].startswith("FSTRING"):  # Python 3.12 and newer
            strings += [(token.start[0], token.string)] if token.type == tokenize.FSTRING_MIDDLE else []
        elif token.type not in skipped or token.type == tokenize.NEWLINE:
            yield from [joined(strings, "")] if strings else []
            strings = []
    yield from [joined(comments)] if comments else []
    yield from [joined(strings, "")] if strings else []


def joined(passages: list[Passage], between: str = "\n") -> Passage:
    return passages[0][0], between.join(text for _, text in passages)


def content(literal: str) -> str:
    """What a string literal holds, without the replaced fields of an f-string."""
    found = STRING.match(literal)
    assert found, literal
    prefix, _, text = found.groups()
    return REPLACED_FIELD.sub("X", text) if "f" in prefix.lower() else text


def of_yaml(text: str) -> Iterator[Passage]:
    """Comments alone: values are data or printed in tables."""
    block: list[Passage] = []
    for number, line in enumerate(text.splitlines(), 1):
        found = re.search(r"(?:^|\s)#(.*)", line)
        if found:
            block.append((number, found[1]))
        elif block:
            yield joined(block)
            block = []
    yield from [joined(block)] if block else []


def of_notebook(text: str) -> Iterator[Passage]:
    """Markdown cells; the line is the number of the cell."""
    for number, cell in enumerate(json.loads(text)["cells"], 1):
        if cell["cell_type"] == "markdown":
            yield number, "".join(cell["source"]).replace("\n", " ")


def of_text(text: str) -> Iterator[Passage]:
    """All of it."""
    yield 1, text


READERS = {".py": of_code, ".smk": of_code, ".yaml": of_yaml, ".ipynb": of_notebook}


def findings(path: Path) -> Iterator[str]:
    """`line: the phrase; write ...` of a file."""
    read = of_code if path.name == "Snakefile" else READERS.get(path.suffix, of_text)
    for first, text in read(path.read_text(encoding="utf-8")):
        for pattern, instead in PATTERNS:
            for found in pattern.finditer(text):
                line = first + text[: found.start()].count("\n")
                yield f"{line}: {' '.join(found[0].split())!r}; write: {instead}"


def files(repository: Path) -> list[Path]:
    """What readers and users see. Of the tests: the campaigns, which print."""
    endings = {".md", ".rst", ".py", ".smk", ".yaml", ".ipynb", ".def", ".j2", ""}
    found = [repository / name for name in ("README.md", "Snakefile", "Makefile", ".ci/run", "pyproject.toml")]
    for folder in FOLDERS:
        inside = sorted(path for path in (repository / folder).rglob("*") if path.is_file())
        found += [path for path in inside if path.suffix in endings and "__pycache__" not in path.parts]
    return found


def test_no_file_has_a_phrase_of_the_list(repository):
    wrong = [f"{path.relative_to(repository)}:{found}" for path in files(repository) for found in findings(path)]
    assert not wrong, f"{len(wrong)} phrases\n" + "\n".join(wrong)


PLANTED = {
    "docstring.py": ('def f():\n    """First line.\n\n    A killed run goes\n    on where it was.\n    """\n', 4),
    "comment.py": ("x = 1\n# A download is tried again, with retries for what\n# may pass.\n", 2),
    "message.py": ("raise ValueError(\n    f'{x}: cannot be written; mend '\n    'its rights'\n)\n", 2),
    "rule.smk": ('rule a:\n    """What is still on line."""\n    output: "a"\n', 2),
    "Snakefile": ("# The help tells the rest.\nrule a:\n    output: 'a'\n", 1),
    "values.yaml": ("a: 1\nb: 2 # Brought into the discipline of our own\n", 2),
    "page.md": ("# Page\n\nFetch what is\nstill on line.\n", 3),
    "cells.ipynb": (json.dumps({"cells": [{"cell_type": "markdown", "source": ["It is told\n", "here."]}]}), 1),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_phrase_is_found(tmp_path, name):
    text, line = PLANTED[name]
    (tmp_path / name).write_text(text)
    found = list(findings(tmp_path / name))
    assert any(entry.startswith(f"{line}: ") for entry in found), found


@pytest.mark.parametrize("phrase", PHRASES)
def test_every_phrase_is_found(tmp_path, phrase):
    plain = re.sub(r"\(\?.*?\)", "", phrase)
    plain = re.sub(r"\((\w+)\|.*?\)", r"\1", plain).replace("s?", "s").split("|")[0]
    (tmp_path / "page.md").write_text(f"Here {plain} stands.\n")
    assert list(findings(tmp_path / "page.md"))


ALLOWED = {
    "identifiers.py": "def told(rights):\n    return f'{told}: {rights[0]}'\n",
    "data.yaml": "title: what the rest would cost\n",
    "page.md": "The rest of the videos tell actions apart; the sum of two numbers, online.\n",
    "cells.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": ["told = 1"]}]}),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_identifiers_data_and_ordinary_words_are_allowed(tmp_path, name):
    (tmp_path / name).write_text(ALLOWED[name])
    assert list(findings(tmp_path / name)) == []
