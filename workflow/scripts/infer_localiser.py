"""Raw predictions of every video of a subset."""

from pathlib import Path

from tsp.config.experiments import read_experiment
from tsp.job import optional_path
from tsp.localise.method import SubsetInputs
from tsp.steps import run_step


def main(job):
    method, config = read_experiment(job.input.config)
    inputs = SubsetInputs(
        features=Path(job.input.features),
        annotations=Path(job.input.annotations),
        subset=job.params.subset,
        proposals=optional_path(job.input.get("proposals")),
    )
    method.infer(config, inputs, weights=Path(job.input.weights), output=Path(job.output[0]))


if __name__ == "__main__":
    run_step(main, snakemake)
