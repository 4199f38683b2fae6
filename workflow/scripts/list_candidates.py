"""A list of the proposals that an experiment makes on one subset."""

from pathlib import Path

from tsp.config.experiments import read_experiment
from tsp.job import optional_path
from tsp.localise.method import Raw, candidates_of
from tsp.localise.pgcn.proposal_lists import write_proposals
from tsp.steps import run_step


def main(job):
    method, config = read_experiment(job.input.config, job.params.settings)
    annotations, subset = Path(job.input.annotations), job.params.subset
    made = candidates_of(method, config, Raw(path=Path(job.input.raw), annotations=annotations, subset=subset))
    write_proposals(
        made.found,
        annotations=annotations,
        subset=subset,
        metadata=optional_path(job.input.get("metadata")),
        keep=job.params.keep,
        output=Path(job.output[0]),
        facts=made.frames,
    )


if __name__ == "__main__":
    run_step(main, snakemake)
