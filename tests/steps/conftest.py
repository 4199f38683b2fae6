"""Calls of `main` of a step script with a stand-in for the object of Snakemake."""

import importlib.util
from types import SimpleNamespace

import pytest


class Files(list):
    """Like `input` of Snakemake: a list in which some items have names."""

    def __init__(self, *items, **named):
        flat = [v for value in named.values() for v in (value if isinstance(value, list) else [value])]
        super().__init__([*items, *flat])
        self.__dict__.update(named)

    def get(self, name, default=None):
        return self.__dict__.get(name, default)


@pytest.fixture(scope="session")
def step(repository):
    """`step("segments", input=..., output=..., params=...)` runs `main` of that script."""

    def run(name, *, input=(), output=(), params=None, wildcards=None, threads=1, resources=None):
        path = repository / "workflow/scripts" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"step_{name}", path)
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)

        def files(value):
            return Files(**value) if isinstance(value, dict) else Files(*value)

        params = params or {}
        values = SimpleNamespace(**params)
        values.get = params.get
        script.main(
            SimpleNamespace(
                input=files(input),
                output=files(output),
                params=values,
                wildcards=SimpleNamespace(**(wildcards or {})),
                threads=threads,
                resources=resources or {},
            )
        )

    return run
