"""Whether a step may resume the work of its interrupted predecessor.

The work folder of a training, or of the extraction of a shard, records code, settings and inputs. Under others the step
stops, unless `resume: anyway` is set.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsp.io import resume
from tsp.io.files import read_json, write_json
from tsp.plan import identity

# Keys of a configuration whose values name modules.
DOTTED = ("factory", "method")


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """What a step leaves in the folder `params.work` when it is interrupted."""

    state: str
    """Pattern of the files that it resumes from."""
    free: tuple[str, ...] = ()
    """Names of settings that may change in between."""
    itemised: tuple[str, ...] = ()
    """Names of inputs that list items, each of which the step compares itself."""
    read_config: Callable[[str], Mapping[str, Any]] | None = None
    """Reads the settings of the input `config`, for steps that have them in no param."""
    state_in: Callable[[str, list[str]], None] | None = None
    """States accepted differences in an output, for steps without a file of facts."""

    def begin(self, job: Any, present: Mapping[str, Any], options: Mapping[str, type]) -> list[str]:
        """Record the identity of new work, or compare it with that of the work to resume.

        Args:
            job: Snakemake's object.
            present: identity of the job (`steps.identity_of`).
            options: see `steps.run_step`.

        Returns:
            The differences that the user has accepted.

        Raises:
            TspError: there are differences and `resume` is not `anyway`.
        """

        def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
            return identity.differences(old, new, options)

        anyway = job.config.get("resume") == "anyway"
        return resume.begin(Path(job.params.work), self.state, self._identity(job, present), differences, anyway=anyway)

    def finish(self, job: Any, differences: list[str]) -> None:
        """Remove the identity of finished work; accepted differences are stated in the outputs."""
        if differences and job.output.get("facts") is not None:
            write_json(job.output.facts, {**read_json(job.output.facts), "resumed": differences})
        elif differences and self.state_in is not None:
            self.state_in(job.output[0], differences)
        resume.finish(Path(job.params.work))

    def _identity(self, job: Any, present: Mapping[str, Any]) -> dict[str, Any]:
        params = {name: value for name, value in present["params"].items() if name not in ("work", "written")}
        config = job.input.get("config")
        if config and self.read_config is not None:
            params["settings"] = identity.plain(self.read_config(config))
        # Of a configuration the values are compared, not the text.
        compared = ["config"] if config and "settings" in params else []
        params = _without(params, self.free)
        left_out = {str(job.input[name]) for name in (*self.itemised, *compared)}
        return {
            "code": present["code"],
            "modules": {**present["modules"], **identity.modules(_named(params))},
            "params": params,
            "inputs": {path: digest for path, digest in present["inputs"].items() if path not in left_out},
        }


def _without(value: Any, names: Iterable[str]) -> Any:
    """Settings without those of these names, at any depth."""
    if isinstance(value, Mapping):
        return {key: _without(inner, names) for key, inner in value.items() if key not in names}
    return value


def _named(settings: Any) -> Iterator[str]:
    """Modules that settings name, at any depth."""
    for key, value in settings.items() if isinstance(settings, Mapping) else ():
        if key in DOTTED and isinstance(value, str):
            yield value.partition(":")[0]
        yield from _named(value)
