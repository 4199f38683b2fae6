"""Write the complete configuration of an experiment."""

from tsp.config.experiments import ResolvedExperiment, resolve_experiment
from tsp.config.load import write_config
from tsp.plan.identity import defaults_of, plain
from tsp.resolve import resolve
from tsp.steps import run_step


def main(job):
    resolved = resolve_experiment(job.wildcards.experiment, job.params.entry)
    write_config(job.output[0], resolved)
    defaults = defaults_of(ResolvedExperiment)
    defaults["experiment"] |= {"settings": defaults_of(resolve(resolved.experiment.method).Config)}
    return {"resolved": plain(resolved), "defaults": defaults}


if __name__ == "__main__":
    run_step(main, snakemake)
