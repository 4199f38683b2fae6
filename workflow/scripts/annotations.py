"""Convert raw annotations to the canonical form."""

from pathlib import Path

from tsp.datasets.examine import Policy
from tsp.datasets.listing import write_canonical
from tsp.steps import run_step


def main(job):
    write_canonical(output=Path(job.output[0]), policy=Policy.of(**job.params.examine), **job.params.dataset)


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
