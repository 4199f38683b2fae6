"""The contract of a localiser: a module with `Config`, `train`, `infer`, `post_process` and `propose`.

A new method is one such module and one entry in config/experiments.yaml; no rule changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tsp.errors import TspError
from tsp.localise.nms import Scored


@dataclass(frozen=True, kw_only=True)
class SubsetInputs:
    """Files of one subset.

    Args:
        features: feature file of its videos.
        annotations: canonical annotations.
        subset: the annotations' own name of it.
        proposals: proposal list (`pgcn.proposal_lists`), for methods that refine proposals; otherwise None.
    """

    features: Path
    annotations: Path
    subset: str
    proposals: Path | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingInputs:
    """The subset to train on and the subset to validate on."""

    train: SubsetInputs
    valid: SubsetInputs


@dataclass(frozen=True, kw_only=True)
class Raw:
    """Raw predictions of a subset: the file that `infer` wrote, canonical annotations, their name of the subset."""

    path: Path
    annotations: Path
    subset: str


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Segments of a subset before any suppression.

    Args:
        found: video name -> segments `[n, 2]` in seconds and scores `[n]`.
        frames: video name -> number of frames and frame rate, of videos that were cut into windows.
    """

    found: dict[str, Scored]
    frames: dict[str, tuple[int, float]] = field(default_factory=dict)


class Method(Protocol):
    """A localiser's module. Every function takes the module's own `Config` first."""

    Config: type[Any]
    """Frozen dataclass of all options, published defaults."""
    POST_PROCESS: Sequence[str]
    """Fields of `Config` that raw predictions do not depend on; optional, without it nothing can be swept."""
    REFINES: bool
    """Whether the method refines the proposals of another one; optional, False by default."""

    def train(
        self,
        config: Any,
        inputs: TrainingInputs,
        *,
        seed: int,
        weights: Path,
        work: Path,
        device: str | None = None,
    ) -> None:
        """Train and write `weights`, and `log.jsonl` beside it; `work` keeps the state of an interrupted training."""

    def infer(
        self, config: Any, inputs: SubsetInputs, *, weights: Path, output: Path, device: str | None = None
    ) -> None:
        """Write the raw predictions of every video of the subset (HDF5), so that post-processing can be retuned."""

    def post_process(self, config: Any, raw: Raw, *, labels: Path | None, output: Path) -> None:
        """Turn raw predictions into detections (predictions.json).

        `labels` are video-level class scores; None where the method predicts classes.
        """

    def propose(self, config: Any, raw: Raw, *, output: Path) -> None:
        """Turn raw predictions into proposals without labels (proposals.json)."""


class CandidateMethod(Method, Protocol):
    """A method whose candidates another one can refine (`refines: {experiment: ...}`)."""

    def candidates(self, config: Any, raw: Raw) -> Candidates:
        """Every candidate in raw predictions, before any suppression."""


def candidates_of(method: Any, config: Any, raw: Raw) -> Candidates:
    """The method's candidates.

    Raises:
        TspError: the method offers none.
    """
    if not hasattr(method, "candidates"):
        raise TspError(f"{method.__name__}: offers no candidates; give its predictions as a file instead")
    made: Candidates = method.candidates(config, raw)
    return made
