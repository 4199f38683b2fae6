"""Resolved files: the complete configuration of a run or a captioning, as the steps read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsp.caption.config import CaptioningConfig
from tsp.caption.config import Config as CaptionConfig
from tsp.config.load import build
from tsp.encoders.config import EncoderConfig
from tsp.pretrain.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class ResolvedRun:
    """`results/pretrain/<run>/config.yaml`."""

    name: str
    """The run."""
    run: RunConfig
    """All fields, defaults included."""
    encoder: EncoderConfig
    """The encoder that the run names."""


@dataclass(frozen=True, kw_only=True)
class ResolvedCaptions:
    """`results/captions/<name>/config.yaml`."""

    name: str
    """The entry of `captions:` in config/experiments.yaml."""
    config: CaptionConfig
    """Both networks, defaults included."""


def resolve_captions(name: str, entry: Mapping[str, Any]) -> ResolvedCaptions:
    """Check an entry of `captions:` and fill in the defaults of its settings."""
    settings = build(CaptioningConfig, entry, f"captions.{name}").settings
    return ResolvedCaptions(name=name, config=build(CaptionConfig, settings, f"captions.{name}.settings"))
