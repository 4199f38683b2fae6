"""Released weights, checked by their sum."""

from pathlib import Path

from tsp.encoders.fetch import fetch_weights
from tsp.steps import run_step


def main(job):
    fetch_weights(Path(job.output[0]), **job.params.source)


if __name__ == "__main__":
    run_step(main, snakemake)
