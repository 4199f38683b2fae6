"""Render the videos of a generated data set."""

from pathlib import Path

from tsp.config.load import build
from tsp.datasets.rendering import render
from tsp.datasets.synthetic import SyntheticConfig
from tsp.io.sources import facts_path
from tsp.steps import run_step


def main(job):
    annotations = Path(job.output[0])
    config = build(SyntheticConfig, job.params.config, "generate")
    origin, params = annotations.parent, job.params
    facts = facts_path(origin, "origin")
    render(config, origin, annotations, workers=job.threads, code=params.code, facts=facts, token=params.files)


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
