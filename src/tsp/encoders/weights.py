"""Reading and writing of weights: safetensors with a JSON file of facts; released `.pth` files are read safely."""

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from tsp import __version__
from tsp.errors import TspError
from tsp.io.files import atomic, sha256, write_json

State = dict[str, Tensor]
HEADS = ("fc.", "fc1.", "fc2.")
PREFIX = "features."


def save_encoder(path: str | Path, state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write weights (of an encoder or of any model) and `<stem>.json` with `meta` next to them.

    Args:
        path: the `.safetensors` file; both files are replaced atomically.
        state: state dict, stored unchanged.
        meta: facts for the JSON file; `producer` and `sha256` of the weights file are added.
    """
    path = Path(path)
    # A copy per entry: safetensors refuses tensors that share memory.
    data = save({name: t.detach().to("cpu", copy=True).contiguous() for name, t in state.items()})
    with atomic(path) as temporary:
        temporary.write_bytes(data)
    facts = {"producer": f"tsp {__version__}", **meta, "sha256": sha256(path)}
    write_json(path.with_suffix(".json"), facts)


def load_state(path: str | Path) -> State:
    """Read a state dict on the CPU: `.safetensors`, or a PyTorch checkpoint, whose `model` entry is taken.

    Checkpoints are read without running their code; only tensors, plain values and the `argparse.Namespace`
    in the released files of the paper are accepted.

    Raises:
        TspError: missing, damaged, contains other objects, or contains no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise TspError(f"{path}: no such weights file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise TspError(f"{path}: not a safetensors file ({error})") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise TspError(f"{path}: not a PyTorch checkpoint of plain tensors ({reason})") from error
    return _state_of(content, path)


def _state_of(content: Any, path: Path) -> State:
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(map(torch.is_tensor, content.values())):
        raise TspError(f"{path}: contains no state dict; expected tensors by name, or such a dict as 'model'")
    # Checkpoints saved from a data-parallel wrapper.
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def encoder_state(state: Mapping[str, Tensor]) -> State:
    """Encoder part of a state dict: heads dropped, `features.` stripped.

    Args:
        state: of a pretraining model (`features.*`, `fc*`), of an encoder, or of a Kinetics classifier.
    """
    body = {name: tensor for name, tensor in state.items() if not name.startswith(HEADS)}
    return {name.removeprefix(PREFIX): tensor for name, tensor in body.items()}


def load_strict(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load `state` into `model`; names and shapes must agree exactly.

    Raises:
        TspError: names the first entry that is missing, unexpected or of another shape.
    """
    own = model.state_dict()
    mismatches = [f"{name!r} is missing" for name in own if name not in state]
    mismatches += [f"{name!r} is unexpected" for name in state if name not in own]
    mismatches += [
        f"{name!r} has shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if mismatches:
        raise TspError(
            f"{source}: not weights of {type(model).__name__} with these sizes: {mismatches[0]}"
            f" (and {len(mismatches) - 1} more); is the right encoder configured?"
        )
    model.load_state_dict(state)
