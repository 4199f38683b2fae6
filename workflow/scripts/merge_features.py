"""Merge the feature files of the shards of a subset."""

from tsp.io.features import merge_features
from tsp.steps import run_step


def main(job):
    merge_features(list(job.input.shards), job.output[0])


if __name__ == "__main__":
    run_step(main, snakemake)
