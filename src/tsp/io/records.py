"""Records of what the outputs of steps were made of."""

from pathlib import Path
from typing import Any

from tsp.io.files import read_json

FOLDER = Path("results/.made")


def read(path: str | Path) -> dict[str, Any] | None:
    """The record of an output below the working directory; None without one."""
    file = FOLDER / f"{path}.json"
    return dict(read_json(file)) if file.is_file() else None
