"""Runs of the workflow in a folder of their own."""

import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def start_snakemake(repository):
    """Start `snakemake` on this repository with `folder` as working directory, as leader of a process group."""

    def start(folder, *arguments, output=subprocess.DEVNULL):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        command = [
            sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", repository / "Snakefile",
            "--directory", folder, "--workflow-profile", repository / "profiles/default", *arguments,
        ]  # fmt: skip
        return subprocess.Popen(
            list(map(str, command)),
            cwd=repository,
            env=environment,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture(scope="session")
def snakemake(start_snakemake):
    """Call `snakemake` and wait for its end."""

    def run(folder, *arguments, timeout=900):
        process = start_snakemake(folder, *arguments, output=subprocess.PIPE)
        out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run
