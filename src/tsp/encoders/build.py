"""Encoders by their dotted path, with random or stored weights."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from tsp.encoders.weights import encoder_state, load_state, load_strict
from tsp.errors import TspError
from tsp.resolve import resolve


def build_encoder(factory: str | Callable[[], nn.Module]) -> nn.Module:
    """Build an encoder with random weights.

    Args:
        factory: the function or its dotted path `module:function`.

    Raises:
        TspError: the network has no `feature_dim`.
    """
    model = (resolve(factory) if isinstance(factory, str) else factory)()
    if not isinstance(getattr(model, "feature_dim", None), int):
        raise TspError(f"encoder {factory}: its network needs an integer attribute feature_dim")
    return model


def load_encoder(factory: str | Callable[[], nn.Module], path: str | Path) -> nn.Module:
    """Build an encoder and load its weights; heads are ignored.

    Raises:
        TspError: the file is unreadable or belongs to another network.
    """
    model = build_encoder(factory)
    load_strict(model, encoder_state(load_state(path)), path)
    return model
