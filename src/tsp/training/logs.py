"""The training log: one JSON object per line, readable while it grows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import atomic


class JsonLog:
    """Append records to a `.jsonl` file.

    Args:
        path: the file; None writes nothing (ranks other than 0).
        iteration: keep old records up to it; a resumed run starts after it.
        epoch: of the records of whole epochs keep those before it.
        tensorboard: also write the numbers to a folder `tensorboard` beside `path`.

    Raises:
        TspError: TensorBoard is requested but not installed.
    """

    def __init__(self, path: Path | None, iteration: int = 0, epoch: int = 0, *, tensorboard: bool = False) -> None:
        self.path = path
        self.board = _board(path.parent / "tensorboard", iteration) if tensorboard and path else None
        if path is None:
            return
        kept = [
            line
            for line in (read_log(path) if iteration else [])
            if line["iteration"] <= iteration and ("lr" in line or line["epoch"] < epoch)
        ]
        with atomic(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record."""
        if self.path is None:
            return
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(dict(record)) + "\n")
        except OSError as error:
            raise TspError(f"{self.path}: cannot be written ({error}); free space and run again") from error
        if self.board is not None:
            flat = {**record, **{f"lr/{group}": lr for group, lr in record.get("lr", {}).items()}}
            for name, value in flat.items():
                if isinstance(value, float):
                    self.board.add_scalar(name, value, record["iteration"])
            self.board.flush()


def _board(folder: Path, iteration: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TspError("tensorboard: not installed; pip install tensorboard, or set it to false") from error
    # Drops what an interrupted run wrote after its last checkpoint.
    return SummaryWriter(folder, purge_step=iteration + 1 if iteration else None)


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Records of a log in file order; a line cut off by a kill is skipped."""
    path = Path(path)
    records = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records
