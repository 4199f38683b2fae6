"""Tokens of sentences."""

import functools
import re
from collections.abc import Callable
from typing import Any

from tsp.errors import TspError

WORDS = re.compile(r"\d+(?:[.,]\d+)*|\w+(?=n't\b)|n't\b|'\w+|\w+|[^\w\s]")


def tokeniser(name: str) -> Callable[[str], list[str]]:
    """A function that splits a cleaned sentence into lower-case tokens.

    Args:
        name: `spacy`, the rules of spaCy's blank English pipeline; or `simple`, similar rules without a package.

    Raises:
        TspError: spaCy is not installed.
    """
    if name == "simple":
        return lambda sentence: WORDS.findall(sentence.lower())
    rules = _spacy()
    return lambda sentence: [token.text.lower() for token in rules(sentence)]


@functools.cache
def _spacy() -> Any:
    try:
        import spacy
    except ImportError as error:
        raise TspError("tokeniser 'spacy': the package is missing; pip install spacy, or use 'simple'") from error
    return spacy.blank("en").tokenizer
