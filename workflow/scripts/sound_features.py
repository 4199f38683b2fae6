"""Extract the sound features of one shard of one subset."""

from pathlib import Path

from tsp.caption.audio import extract_sound
from tsp.steps import run_step


def main(job):
    extract_sound(
        Path(job.input.metadata),
        Path(job.params.videos),
        Path(job.output[0]),
        kind=job.wildcards.sound,
        weights=job.input.weights or None,
        **job.params.shard,
    )


if __name__ == "__main__":
    run_step(main, snakemake)
