"""Reading trained networks: weights, and beside them a JSON with vocabulary, sizes and options."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tsp.caption.captioner import Captioner
from tsp.caption.config import Config
from tsp.caption.proposals import Proposer, build_proposer
from tsp.caption.text import Vocabulary
from tsp.encoders.weights import load_state, load_strict
from tsp.errors import TspError
from tsp.io.files import read_json


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained captioner.

    Args:
        model: in eval mode, on the CPU.
        vocabulary: its words.
        widths: of its features of sound and pictures.
    """

    model: Captioner
    vocabulary: Vocabulary
    widths: tuple[int, int]


def captioner_facts(vocabulary: Vocabulary, widths: tuple[int, int], config: Config) -> dict[str, Any]:
    """The JSON content that `load_captioner` reads: the vocabulary is stored, not rebuilt."""
    return {"vocabulary": list(vocabulary.words), "widths": list(widths), "config": asdict(config.captioner)}


def load_captioner(path: Path, config: Config) -> Trained:
    """Read the weights and facts that `train_captioner` wrote.

    Raises:
        TspError: a file is missing, or its sizes differ from `config`.
    """
    facts = _facts(path, "vocabulary", "widths")
    state = load_state(path)
    vocabulary = Vocabulary(facts["vocabulary"])
    audio, video = facts["widths"]
    table = state.get("table.weight", torch.zeros(0, 0))
    model = Captioner(audio, video, len(vocabulary), config.captioner, torch.zeros(len(vocabulary), table.shape[1]))
    load_strict(model, state, path)
    return Trained(model=model.eval(), vocabulary=vocabulary, widths=(audio, video))


def proposer_facts(model: Proposer, widths: tuple[int, int], config: Config) -> dict[str, Any]:
    """The JSON content that `load_proposer` reads."""
    steps = [model.audio.step_s, model.video.step_s]
    return {"widths": list(widths), "steps_s": steps, "config": asdict(config.proposals)}


def load_proposer(path: Path, config: Config) -> tuple[Proposer, tuple[int, int]]:
    """Read a proposal generator, in eval mode, and the widths of its features.

    Raises:
        TspError: a file is missing, or its sizes differ from `config`.
    """
    facts = _facts(path, "widths", "steps_s")
    state = load_state(path)
    audio, video = facts["widths"]
    if "audio.sizes" not in state or "video.sizes" not in state:
        raise TspError(f"{path}: contains no anchors; not a proposal generator")
    sizes = (state["audio.sizes"], state["video.sizes"])
    model = build_proposer((audio, video), sizes, tuple(facts["steps_s"]), config.captioner, config.proposals)
    load_strict(model, state, path)
    return model.eval(), (audio, video)


def _facts(path: Path, *needed: str) -> dict[str, Any]:
    facts: dict[str, Any] = read_json(path.with_suffix(".json"))
    for name in needed:
        if name not in facts:
            raise TspError(f"{path.with_suffix('.json')}: no {name!r}; not written by this library's training")
    return facts
