"""Checkpoints of an unfinished training, in its work folder."""

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tsp.errors import TspError
from tsp.io import resume
from tsp.io.files import atomic
from tsp.training.config import TrainerConfig

STATE, BEST, LOG = "state.pt", "best.pt", "log.jsonl"
# Options that decide when something is written, not what: a resumed run may change them.
FREE = ("checkpoint_every", "log_every", "tensorboard")


def config_hash(config: TrainerConfig, **facts: Any) -> str:
    """Digest of everything that a resumed run must have in common with the interrupted one."""
    fields = {name: value for name, value in asdict(config).items() if name not in FREE}
    text = json.dumps({**fields, **facts}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write(path: Path, content: dict[str, Any]) -> None:
    """Save tensors and plain values atomically: if the disk is full, the old file stays.

    Raises:
        TspError: the file cannot be written.
    """
    # Through memory: PyTorch's own writer reports a full disk as a bare RuntimeError.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read(path: Path) -> dict[str, Any]:
    """Load what `write` saved, on the CPU.

    Raises:
        TspError: the file is damaged.
    """
    try:
        # PyTorch writes a checksum of each tensor but does not verify it.
        with zipfile.ZipFile(path) as archive:
            if (member := archive.testzip()) is not None:
                raise ValueError(f"{member}: wrong checksum")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise TspError(f"{path}: damaged checkpoint; delete {path.parent} to train from the start") from error
    return content


def check_hash(state: dict[str, Any], expected: str, path: Path) -> bool:
    """Whether a checkpoint is of the present configuration; another one is refused, unless the user has accepted it."""
    if state["config_hash"] != expected and not resume.accepted(path.parent):
        raise TspError(
            f"{path}: made under another configuration (hash {state['config_hash']}, now {expected}); "
            f"put the old configuration back, or delete {path.parent} to train from the start"
        )
    return bool(state["config_hash"] == expected)


def check_finite(model: nn.Module, iteration: int) -> None:
    """Refuse to overwrite a checkpoint with weights that are not finite."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise TspError(
                f"parameter {name!r} is not finite after iteration {iteration}; the last good checkpoint is kept"
            )


def cpu_state(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the model's state dict on the CPU."""
    return {name: t.detach().to("cpu", copy=True) for name, t in model.state_dict().items()}


def discard_temporary(work_dir: Path) -> None:
    """Remove incomplete files of a killed process."""
    for name in (STATE, BEST):
        stem, suffix = name.split(".")
        for path in work_dir.glob(f".{stem}.*.{suffix}"):
            path.unlink(missing_ok=True)


def clear(work_dir: str | Path) -> None:
    """Remove the checkpoints of a finished training; its log stays."""
    for name in (STATE, BEST):
        (Path(work_dir) / name).unlink(missing_ok=True)
