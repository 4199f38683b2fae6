"""A list of the proposals in a file of ActivityNet's format."""

from pathlib import Path

from tsp.job import optional_path
from tsp.localise.pgcn.proposal_lists import from_predictions, write_proposals
from tsp.steps import run_step


def main(job):
    write_proposals(
        from_predictions(Path(job.input.predictions)),
        annotations=Path(job.input.annotations),
        subset=job.params.subset,
        metadata=optional_path(job.input.get("metadata")),
        keep=job.params.keep,
        output=Path(job.output[0]),
    )


if __name__ == "__main__":
    run_step(main, snakemake)
