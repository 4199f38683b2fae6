"""Count the frames of each video of one shard."""

from pathlib import Path

from tsp.steps import run_step
from tsp.video.probe import probe_shard


def main(job):
    probe_shard(Path(job.input.manifest), Path(job.params.store), Path(job.output[0]), workers=job.threads)


if __name__ == "__main__":
    run_step(main, snakemake)
