"""Fetch released features, validate them and add their attributes."""

from pathlib import Path

from tsp.config.load import read_config
from tsp.config.resolved import ResolvedRun
from tsp.features.released import fetch_features
from tsp.steps import run_step


def main(job):
    fetch_features(
        Path(job.output[0]),
        encoder=read_config(job.input.config, ResolvedRun).encoder,
        stride=int(job.wildcards.stride),
        **job.params.source,
    )


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
