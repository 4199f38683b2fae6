"""Train the method of an experiment on one kind of features with one seed."""

from pathlib import Path

from tsp.config.experiments import read_experiment
from tsp.config.load import read_yaml
from tsp.job import optional_path
from tsp.localise.method import SubsetInputs, TrainingInputs
from tsp.plan.unfinished import Unfinished
from tsp.steps import run_step
from tsp.training.checkpoint import FREE, STATE


def main(job):
    method, config = read_experiment(job.input.config)
    train, valid = (
        SubsetInputs(
            features=Path(job.input[side]),
            annotations=Path(job.input.annotations),
            subset=job.params.subsets[side],
            proposals=optional_path(job.input.get(f"{side}_proposals")),
        )
        for side in ("train", "valid")
    )
    method.train(
        config,
        TrainingInputs(train=train, valid=valid),
        seed=int(job.wildcards.seed),
        weights=Path(job.output.weights),
        work=Path(job.params.work),
    )


if __name__ == "__main__":
    run_step(main, snakemake, unfinished=Unfinished(state=STATE, free=FREE, read_config=read_yaml))
