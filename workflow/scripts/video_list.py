"""Names and sources of one subset."""

from pathlib import Path

from tsp.datasets.listing import write_list
from tsp.steps import run_step


def main(job):
    write_list(Path(job.input.annotations), job.params.official, Path(job.output[0]))


if __name__ == "__main__":
    run_step(main, snakemake)
