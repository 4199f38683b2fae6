"""What step scripts read off a job besides its files and parameters."""

from pathlib import Path
from typing import Any


def optional_path(value: Any) -> Path | None:
    """The path of an input that a rule may leave empty."""
    return Path(value) if value else None


def workers_of(job: Any, processes: int = 1) -> int:
    """Loader workers of each process of a step: its share of the threads but one; with one thread none."""
    return max(0, int(job.threads) // processes - 1)
