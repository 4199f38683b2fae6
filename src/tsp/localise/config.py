"""What `config/experiments.yaml` says of the proposals that a method refines."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Proposal lists, and proposals in ActivityNet's format.
LISTS = (".txt", ".json")


@dataclass(frozen=True, kw_only=True)
class RefinesConfig:
    """Where the proposals come from that a method refines: another experiment, or two files."""

    experiment: str | None = None
    """Experiment whose candidates, before any suppression, are the proposals of both subsets."""
    run: str | None = None
    """Run of its features; null: the same run as that of the refining method."""
    seed: int = 0
    """Which of its trainings."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Its options of post-processing that differ, to choose other candidates."""
    train: str | None = None
    """File instead: a proposal list (`.txt`), or proposals or detections in ActivityNet's format (`.json`)."""
    valid: str | None = None
    """The same of the measured subset."""
    train_keep: int | None = 1000
    """Best proposals of a training video that are kept; null: all. A list is read as it is."""
    valid_keep: int | None = 800
    """The same of the measured subset; 800 as published."""

    def __post_init__(self) -> None:
        """Either an experiment or both files, of one kind."""
        files = [path for path in (self.train, self.valid) if path is not None]
        if bool(self.experiment) == bool(files) or len(files) == 1:
            raise ValueError("expected either `experiment`, or `train` and `valid`")
        if len({Path(path).suffix for path in files}) > 1 or any(Path(path).suffix not in LISTS for path in files):
            raise ValueError(f"train {self.train!r} and valid {self.valid!r}: expected two of {' or '.join(LISTS)}")
