"""Raw predictions of every video."""

from pathlib import Path

from tsp.config.load import read_experiment
from tsp.steps import run_step


def main(job):
    method, config = read_experiment(job.input.config)
    listed = job.input.get("proposals")
    proposals = {"proposals": Path(listed)} if listed else {}
    method.infer(
        config,
        weights=Path(job.input.weights),
        features=Path(job.input.features),
        **proposals,
        annotations=Path(job.input.annotations),
        subset=job.params.subset,
        output=Path(job.output[0]),
    )


if __name__ == "__main__":
    run_step(main, snakemake)
