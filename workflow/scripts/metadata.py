"""Merge the metadata of the shards of a subset."""

from pathlib import Path

from tsp.steps import run_step
from tsp.video.metadata import merge_metadata


def main(job):
    manifests = [Path(path) for path in job.input.manifests]
    merge_metadata(manifests, Path(job.output.metadata), Path(job.output.manifest), job.params.max_failed)


if __name__ == "__main__":
    run_step(main, snakemake)
