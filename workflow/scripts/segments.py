"""Write the Action and No action rows of a subset."""

from pathlib import Path

from tsp.config.load import build
from tsp.datasets.config import BackgroundConfig
from tsp.datasets.ground_truth import write_ground_truth
from tsp.io.annotations import read_annotations
from tsp.steps import run_step


def main(job):
    write_ground_truth(
        read_annotations(job.input.annotations),
        metadata=Path(job.input.metadata),
        output=Path(job.output[0]),
        subset=job.params.official,
        background=build(BackgroundConfig, job.params.background, "background"),
    )


if __name__ == "__main__":
    run_step(main, snakemake, options={"background": BackgroundConfig})
