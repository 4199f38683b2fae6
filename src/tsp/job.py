"""What step scripts read off a job besides its files and parameters."""

from pathlib import Path
from typing import Any


def optional_path(value: Any) -> Path | None:
    """The path of an input that a rule may leave empty."""
    return Path(value) if value else None


def workers_of(job: Any) -> int:
    """Loader workers of a step: all its threads but one; with one thread the step loads in its own process."""
    return max(0, int(job.threads) - 1)
