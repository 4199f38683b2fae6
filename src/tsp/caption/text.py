"""Sentences: reading, cleaning, vocabulary, word vectors. `V` words."""

import logging
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tsp.errors import TspError
from tsp.io.captions import read_references
from tsp.io.files import read_json, read_text, write_json
from tsp.types import Video

log = logging.getLogger(__name__)
UNKNOWN, PADDING, START, END = range(4)
SPECIALS = (" UNK ", "<blank>", "<s>", "</s>")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A segment of a video with its description.

    Args:
        video: key of the video, as in the references.
        start_s, end_s: seconds as annotated; the end may be before the start or after the end of the video.
        duration_s: of the video, from the same file.
        sentence: as annotated; `caption` is the cleaned one.
    """

    video: str
    start_s: float
    end_s: float
    duration_s: float
    sentence: str

    @property
    def caption(self) -> str:
        """The cleaned sentence, on which the network is trained."""
        return clean(self.sentence)


def read_events(path: str | Path, available: Collection[str] | None = None) -> list[Event]:
    """The segments of an ActivityNet Captions file (gzip accepted), in file order.

    Args:
        path: `{video: {"duration", "timestamps", "sentences"}}`.
        available: videos to keep; None: all.

    Raises:
        TspError: an invalid file, with the first invalid video.
    """
    entries = read_json(path)
    events = []
    for video, captioned in read_references(path).items():
        if available is not None and video not in available:
            continue
        duration = entries[video].get("duration")
        if not isinstance(duration, int | float) or duration <= 0:
            raise TspError(f"{path}: {video!r}: duration is {duration!r}, expected seconds")
        events += [
            Event(video=video, start_s=e.start_s, end_s=e.end_s, duration_s=float(duration), sentence=e.sentence)
            for e in captioned
        ]
    if not events:
        raise TspError(f"{path}: no segment of an available video; do the names match?")
    return events


def read_available(path: str | Path | None) -> set[str] | None:
    """Names of videos, one per line (gzip accepted); None for None."""
    return None if path is None else set(read_text(path).split("\n")) - {""}


def write_references(path: str | Path, videos: Iterable[Video]) -> None:
    """Write annotations whose videos carry `captions` as ActivityNet Captions.

    Names are the stems of the video files, as in feature files. Videos without captions are skipped.

    Args:
        path: to write.
        videos: with `captions` `[{"segment": [start, end], "sentence": ...}]`, in seconds.

    Raises:
        TspError: a video with captions has no duration, or its captions have another structure.
    """
    document: dict[str, Any] = {}
    left_out = 0
    for video in videos:
        captions = video.extra.get("captions", [])
        if not captions:
            left_out += 1
            continue
        if not video.duration_s:
            raise TspError(f"{video.name!r}: captions, but no duration")
        try:
            pairs = [(caption["segment"], caption["sentence"]) for caption in captions]
        except (TypeError, KeyError) as error:
            raise TspError(f"{video.name!r}: captions: expected objects with 'segment' and 'sentence'") from error
        times, texts = zip(*pairs, strict=True)
        document[video.key] = {"duration": video.duration_s, "timestamps": times, "sentences": texts}
    log.info("%d videos with captions, %d without", len(document), left_out)
    write_json(path, document)


def clean(sentence: str) -> str:
    """Clean a sentence: plain apostrophes, full stops only within numbers, single spaces."""
    sentence = sentence.replace("\u2019", "'")
    sentence = re.sub(r"\.(?!\d)", "", sentence)
    return re.sub(r"\s{2,}", " ", sentence.replace("\n", " ")).strip()


class Vocabulary:
    """Words by number; the first four are unknown, padding, start and end.

    Args:
        words: all words, specials first.
    """

    def __init__(self, words: Sequence[str]) -> None:
        if tuple(words[:4]) != SPECIALS:
            raise TspError(f"vocabulary: starts with {list(words[:4])}, expected {list(SPECIALS)}")
        self.words = tuple(words)
        self._numbers = {word: number for number, word in enumerate(words)}

    @classmethod
    def of(cls, captions: Iterable[Sequence[str]]) -> "Vocabulary":
        """All words of tokenised captions, the most frequent first, ties in code-point order."""
        counts = Counter(token for caption in captions for token in caption)
        return cls([*SPECIALS, *sorted(counts, key=lambda word: (-counts[word], word))])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Numbers of a caption between start and end."""
        return [START, *(self._numbers.get(token, UNKNOWN) for token in tokens), END]

    def sentence(self, numbers: Iterable[int]) -> str:
        """The sentence of generated numbers: up to the first end token, capitalised."""
        words = []
        for number in numbers:
            if number == END:
                break
            words.append(self.words[number])
        return " ".join(words).capitalize()


def read_vectors(path: str | Path, words: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of `words` from GloVe's text format: one word and its numbers per line, in UTF-8; also zipped.

    Args:
        path: `.txt`, or `.zip` with one file.
        words: looked up without surrounding white space.

    Returns:
        `[V, width]`; zeros for words that are not in the file.

    Raises:
        TspError: the file has another format.
    """
    rows: dict[str, list[int]] = {}
    for number, word in enumerate(words):
        rows.setdefault(word.strip(), []).append(number)
    table, width = np.zeros((0, 0), np.float32), 0
    found = set()
    with _lines(Path(path)) as lines:
        for line_number, line in enumerate(lines, 1):
            if not width:
                width = len(line.split(b" ")) - 1
                table = np.zeros((len(words), width), np.float32)
            # From the right: some words of GloVe contain spaces.
            parts = line.rstrip(b"\n").rsplit(b" ", width)
            word = parts[0].decode("utf-8", "replace")
            if word not in rows:
                continue
            try:
                table[rows[word]] = [float(part) for part in parts[1:]]
            except ValueError as error:
                raise TspError(f"{path}: line {line_number}: expected a word and {width} numbers ({error})") from error
            found.add(word)
    if not width:
        raise TspError(f"{path}: empty; expected a word and its numbers per line")
    log.info("%s: %d of %d words have vectors of width %d", path, len(found), len(rows), width)
    return table


@contextmanager
def _lines(path: Path) -> Iterator[IO[bytes]]:
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise TspError(f"{path}: contains {len(names)} files, expected one; unpack it and use the right file")
            with archive.open(names[0]) as member:
                yield member
    except (OSError, zipfile.BadZipFile) as error:
        raise TspError(f"{path}: cannot be read as word vectors ({error})") from error
