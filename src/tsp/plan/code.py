"""The `code` parameter of rules whose step runs a module that the configuration names."""

from collections.abc import Callable

from tsp.config.settings import Settings
from tsp.plan.identity import code
from tsp.plan.inputs import Wildcards

Version = Callable[[Wildcards], str]


class StepCode:
    """Digests of step scripts with the reader, encoder or method of a job; see `identity.code`.

    Args:
        settings: the checked configuration.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def reader(self, script: str) -> Version:
        """With the reader of the job's data set."""
        return lambda wildcards: code(script, self.settings.datasets[wildcards.dataset].reader)

    def encoder(self, script: str) -> Version:
        """With the encoder of the job's run."""
        return lambda wildcards: code(script, self._factory(wildcards))

    def method(self, script: str, *, options: bool = False) -> Version:
        """With the method of the job's experiment."""
        return lambda wildcards: code(script, self.settings.experiments[wildcards.experiment].method, options=options)

    def refined(self, script: str) -> Version:
        """With the method whose candidates the job's experiment refines."""

        def version(wildcards: Wildcards) -> str:
            refines = self.settings.experiments[wildcards.experiment].refines
            assert refines is not None and refines.experiment is not None
            return code(script, self.settings.experiments[refines.experiment].method)

        return version

    def pretrain(self, wildcards: Wildcards) -> str:
        """With the encoder of the run, unless its `track_code` is `none`."""
        if self.settings.runs[wildcards.run].track_code == "none":
            return "untracked"
        return code("pretrain", self._factory(wildcards))

    def _factory(self, wildcards: Wildcards) -> str:
        return self.settings.encoders[self.settings.runs[wildcards.run].encoder].factory
