"""What the input and parameter functions of all rules share."""

import re
from collections.abc import Callable, Iterable
from typing import Protocol

from tsp.pretrain.config import ReleasedFile


class Wildcards(Protocol):
    """A job's wildcards as Snakemake passes them to a function: values by name."""

    def __getattr__(self, name: str) -> str: ...

    def __getitem__(self, name: str) -> str: ...

    def keys(self) -> Iterable[str]: ...


# An input function names one path, several, or none: an empty list.
Paths = str | list[str]
# A pattern, or a function of the wildcards.
Input = str | Callable[[Wildcards], Paths]
# A resource: a function of the wildcards and of the number of the attempt, from 1.
Resource = Callable[[Wildcards, int], int]


def one_of(names: Iterable[str]) -> str:
    """Regular expression of a wildcard that is one of `names`; the word `none` where there are none."""
    return "|".join(re.escape(name) for name in names) or "none"


def released(file: ReleasedFile) -> dict[str, str | None]:
    """Where a released file comes from, as `tsp.io.fetch.fetch_released` takes it."""
    return {"url": file.url, "path": file.path, "digest": file.sha256}
