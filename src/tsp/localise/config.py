"""Options of the proposals that a method refines."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Proposal lists, and proposals in ActivityNet's format.
LISTS = (".txt", ".json")


@dataclass(frozen=True, kw_only=True)
class RefinesConfig:
    """Source of the proposals that a method refines: another experiment, or two files."""

    experiment: str | None = None
    """Experiment whose candidates before any suppression are the proposals of both subsets."""
    run: str | None = None
    """Run of its features; null: the run of the refining method."""
    seed: int = 0
    """Seed of the training whose candidates are used."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Post-processing options of that experiment to override, which select other candidates."""
    train: str | None = None
    """File used instead: a proposal list (`.txt`), or proposals or detections in ActivityNet's format (`.json`)."""
    valid: str | None = None
    """The same for the evaluated subset."""
    train_keep: int | None = 1000
    """Number of best proposals kept per training video; null: all. Given lists are not shortened."""
    valid_keep: int | None = 800
    """The same for the evaluated subset; 800 as published."""

    def __post_init__(self) -> None:
        """Require either an experiment, or both files with the same suffix."""
        files = [path for path in (self.train, self.valid) if path is not None]
        if bool(self.experiment) == bool(files) or len(files) == 1:
            raise ValueError("expected either `experiment`, or `train` and `valid`")
        if len({Path(path).suffix for path in files}) > 1 or any(Path(path).suffix not in LISTS for path in files):
            raise ValueError(f"train {self.train!r} and valid {self.valid!r}: expected two of {' or '.join(LISTS)}")
