"""List what is doubtful in the annotations of a data set."""

from pathlib import Path

from tsp.datasets.examine import Policy
from tsp.datasets.listing import write_report
from tsp.steps import run_step


def main(job):
    write_report(
        job.params.dataset["reader"],
        job.params.dataset["annotations"],
        metadata=[Path(path) for path in job.input.metadata],
        output=Path(job.output[0]),
        policy=Policy.of(**job.params.examine),
    )


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
