"""Runs of the workflow in a folder of their own."""

import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def snakemake(repository):
    """Call `snakemake` on this repository with `folder` as working directory."""

    def run(folder, *arguments, timeout=900):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        command = [
            sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", repository / "Snakefile",
            "--directory", folder, "--workflow-profile", repository / "profiles/default", *arguments,
        ]  # fmt: skip
        return subprocess.run(
            list(map(str, command)), cwd=repository, env=environment, capture_output=True, text=True, timeout=timeout
        )

    return run
