"""Write the Action and No action rows of a subset."""

from pathlib import Path

from tsp.config.load import build
from tsp.datasets.config import BackgroundConfig
from tsp.datasets.examine import Policy, durations, examine, refuse
from tsp.datasets.ground_truth import write_ground_truth
from tsp.io.annotations import read_annotations
from tsp.steps import run_step


def main(job):
    metadata, policy = Path(job.input.metadata), Policy.of(**job.params.examine)
    videos, findings = examine(read_annotations(job.input.annotations), policy, durations([metadata]))
    refuse(findings, job.input.annotations)
    write_ground_truth(
        videos,
        metadata=metadata,
        output=Path(job.output[0]),
        subset=job.params.official,
        background=build(BackgroundConfig, job.params.background, "background"),
    )


if __name__ == "__main__":
    run_step(main, snakemake, options={"background": BackgroundConfig})
