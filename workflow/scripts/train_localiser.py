"""Train the method of an experiment on one kind of features with one seed."""

from pathlib import Path

from tsp.config.load import read_experiment
from tsp.steps import run_step


def main(job):
    method, config = read_experiment(job.input.config)
    sides = ("train_proposals", "valid_proposals")
    proposals = {side: Path(job.input.get(side)) for side in sides if job.input.get(side)}
    method.train(
        config,
        train_features=Path(job.input.train),
        valid_features=Path(job.input.valid),
        **proposals,
        annotations=Path(job.input.annotations),
        subsets=job.params.subsets,
        seed=int(job.wildcards.seed),
        weights=Path(job.output.weights),
        work=Path(job.params.work),
    )


if __name__ == "__main__":
    run_step(main, snakemake)
