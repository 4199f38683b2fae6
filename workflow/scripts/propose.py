"""Class-agnostic proposals."""

from pathlib import Path

from tsp.config import read_experiment
from tsp.steps import run_step


def main(job):
    method, config = read_experiment(job.input.config)
    method.propose(
        config,
        raw=Path(job.input.raw),
        annotations=Path(job.input.annotations),
        subset=job.params.subsets["valid"],
        output=Path(job.output[0]),
    )


if __name__ == "__main__":
    run_step(main, snakemake)
