"""What a localiser offers to the rules: a module with `Config`, `train`, `infer`, `post_process` and `propose`.

A new method is one module with these five names and one entry in config/experiments.yaml; no rule changes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol


class Method(Protocol):
    """A localiser's module. Every function takes the module's own `Config` first."""

    Config: type[Any]
    """Frozen dataclass of all options, published defaults."""
    POST_PROCESS: Sequence[str]
    """Fields of `Config` that raw predictions do not depend on; where it is missing nothing can be swept."""

    def train(
        self,
        config: Any,
        *,
        train_features: Path,
        valid_features: Path,
        annotations: Path,
        subsets: dict[str, str],
        seed: int,
        weights: Path,
        work: Path,
        device: str | None = None,
    ) -> None:
        """Train on the features of the training subset and write `weights`, and `log.jsonl` beside it.

        `subsets` gives the annotation's own names of `train` and `valid`; `work` keeps the state of an interrupted
        training.
        """

    def infer(
        self,
        config: Any,
        *,
        weights: Path,
        features: Path,
        annotations: Path,
        subset: str,
        output: Path,
        device: str | None = None,
    ) -> None:
        """Write the raw predictions of every video of `subset` (HDF5), so that post-processing can be retuned."""

    def post_process(
        self, config: Any, *, raw: Path, annotations: Path, subset: str, labels: Path, output: Path
    ) -> None:
        """Turn raw predictions and video-level class scores into detections (predictions.json)."""

    def propose(self, config: Any, *, raw: Path, annotations: Path, subset: str, output: Path) -> None:
        """Turn raw predictions into proposals without labels (proposals.json)."""


class Refiner(Protocol):
    """A method that refines the proposals of another one, which it is given as lists (`localise.proposal_lists`)."""

    Config: type[Any]
    """Frozen dataclass of all options, published defaults."""
    POST_PROCESS: Sequence[str]
    """Its fields that raw predictions do not depend on, for `tsp sweep`."""

    def train(
        self,
        config: Any,
        *,
        train_features: Path,
        valid_features: Path,
        train_proposals: Path,
        valid_proposals: Path,
        annotations: Path,
        subsets: dict[str, str],
        seed: int,
        weights: Path,
        work: Path,
        device: str | None = None,
    ) -> None:
        """As `Method.train`, with the proposals of both subsets."""

    def infer(
        self,
        config: Any,
        *,
        weights: Path,
        features: Path,
        proposals: Path,
        annotations: Path,
        subset: str,
        output: Path,
        device: str | None = None,
    ) -> None:
        """As `Method.infer`, with the proposals of `subset`."""

    def post_process(
        self, config: Any, *, raw: Path, annotations: Path, subset: str, labels: Path | None, output: Path
    ) -> None:
        """As `Method.post_process`; `labels` None: the method's own classes."""

    def propose(self, config: Any, *, raw: Path, annotations: Path, subset: str, output: Path) -> None:
        """As `Method.propose`."""
