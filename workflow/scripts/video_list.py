"""List the videos of one shard with their sources."""

from pathlib import Path

from tsp.datasets.listing import write_list
from tsp.steps import run_step


def main(job):
    write_list(output=Path(job.output[0]), official=job.params.official, **job.params.dataset, **job.params.shard)


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
