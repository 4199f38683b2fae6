"""Write the complete configuration of a run."""

from tsp.config.load import build, write_config
from tsp.config.resolved import ResolvedRun
from tsp.steps import run_step


def main(job):
    values = {"name": job.wildcards.run, **job.params.entry}
    write_config(job.output[0], build(ResolvedRun, values, f"runs.{job.wildcards.run}"))


if __name__ == "__main__":
    run_step(main, snakemake)
