"""Fetch released weights and verify their checksum."""

from pathlib import Path

from tsp.io.fetch import fetch_released
from tsp.steps import run_step


def main(job):
    fetch_released(Path(job.output[0]), **job.params.source)


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
