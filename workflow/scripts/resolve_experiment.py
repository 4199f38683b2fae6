"""Write the complete configuration of an experiment."""

from tsp.config.experiments import resolve_experiment
from tsp.config.load import write_config
from tsp.steps import run_step


def main(job):
    write_config(job.output[0], resolve_experiment(job.wildcards.experiment, job.params.entry))


if __name__ == "__main__":
    run_step(main, snakemake)
