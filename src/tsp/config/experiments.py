"""The complete configuration of an experiment; reading it imports the experiment's method."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tsp.config.load import build, merge, read_config
from tsp.config.settings import ExperimentConfig
from tsp.errors import TspError
from tsp.resolve import resolve


@dataclass(frozen=True, kw_only=True)
class ResolvedExperiment:
    """`results/experiments/<experiment>/config.yaml`."""

    name: str
    """The experiment."""
    experiment: ExperimentConfig
    """Its entry, with the method's settings completed."""


def resolve_experiment(name: str, entry: Mapping[str, Any]) -> ResolvedExperiment:
    """Import the method of an experiment, check its settings and fill in their defaults."""
    experiment = build(ExperimentConfig, entry, f"experiments.{name}")
    module = resolve(experiment.method)
    if (experiment.refines is not None) != getattr(module, "REFINES", False):
        wants = "refines no proposals" if experiment.refines else "refines proposals: state an experiment or files"
        raise TspError(f"experiments.{name}.refines: {experiment.method} {wants}")
    settings = asdict(build(module.Config, experiment.settings, f"experiments.{name}.settings"))
    return ResolvedExperiment(name=name, experiment=replace(experiment, settings=settings))


def read_experiment(path: str | Path, changes: Mapping[str, Any] | None = None) -> tuple[Any, Any]:
    """The method's module and its Config, from a resolved experiment.

    Args:
        path: its config.yaml.
        changes: options of post-processing to replace.

    Raises:
        TspError: `changes` names an option that is not one of post-processing.
    """
    experiment = read_config(path, ResolvedExperiment).experiment
    module = resolve(experiment.method)
    wrong = [name for name in changes or {} if name not in module.POST_PROCESS]
    if wrong:
        allowed = ", ".join(module.POST_PROCESS)
        raise TspError(f"refines.settings: {wrong[0]!r} is no option of post-processing; allowed: {allowed}")
    return module, build(module.Config, merge(experiment.settings, changes or {}), str(path))
