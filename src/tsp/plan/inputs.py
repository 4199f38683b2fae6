"""What the input and parameter functions of all rules share."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from tsp.plan.paths import RESULTS
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


def inputs(wildcards: Wildcards, input: Any) -> dict[str, list[Any]]:
    """The inputs of a job by name and in order, those outside the results with size and date.

    Snakemake compares inputs as a set, and notices a file only if it is newer than the outputs. As a parameter, inputs
    in other roles and files replaced by older ones schedule the job too; the step compares contents.
    """
    named = {name: [value] if isinstance(value, str) else list(value) for name, value in input.items()}
    return {name: [_stamped(str(path)) for path in paths] for name, paths in named.items()}


def _stamped(path: str) -> Any:
    if path.startswith(f"{RESULTS}/"):
        return path
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return path
    return [path, found.st_size, found.st_mtime_ns]


def given_file(file: ReleasedFile) -> Paths:
    """The local copy of a released file as an input of the step that checks it; none if it is missing or remote."""
    return file.path if file.path is not None and Path(file.path).exists() else []


def released(file: ReleasedFile) -> dict[str, str | None]:
    """Where a released file comes from, as `tsp.io.fetch.fetch_released` takes it."""
    return {"url": file.url, "path": file.path, "digest": file.sha256}
