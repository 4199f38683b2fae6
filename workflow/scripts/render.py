"""Render the videos of a generated data set."""

from pathlib import Path

from tsp.config.load import build
from tsp.datasets.rendering import render
from tsp.datasets.synthetic import SyntheticConfig
from tsp.steps import run_step


def main(job):
    annotations = Path(job.output[0])
    config = build(SyntheticConfig, job.params.config, "generate")
    render(config, annotations.parent, annotations, workers=job.threads, code=job.params.code)


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
