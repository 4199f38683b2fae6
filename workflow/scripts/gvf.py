"""Pool global video features, one vector per video."""

from tsp.pretrain.gvf import compute_gvf
from tsp.steps import run_step


def main(job):
    compute_gvf(list(job.input.features), job.output[0], job.wildcards.pool)


if __name__ == "__main__":
    run_step(main, snakemake)
