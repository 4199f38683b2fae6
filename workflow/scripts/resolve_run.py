"""Write the complete configuration of a run."""

from tsp.config.load import build, write_config
from tsp.config.resolved import ResolvedRun
from tsp.plan.identity import defaults_of, plain
from tsp.steps import run_step


def main(job):
    values = {"name": job.wildcards.run, **job.params.entry}
    resolved = build(ResolvedRun, values, f"runs.{job.wildcards.run}")
    write_config(job.output[0], resolved)
    return {"resolved": plain(resolved), "defaults": defaults_of(ResolvedRun)}


if __name__ == "__main__":
    run_step(main, snakemake)
