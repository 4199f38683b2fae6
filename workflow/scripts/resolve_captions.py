"""Write the complete configuration of both networks of BMT."""

from tsp.config.load import write_config
from tsp.config.resolved import ResolvedCaptions, resolve_captions
from tsp.plan.identity import defaults_of, plain
from tsp.steps import run_step


def main(job):
    resolved = resolve_captions(job.wildcards.captioning, job.params.entry)
    write_config(job.output[0], resolved)
    return {"resolved": plain(resolved), "defaults": defaults_of(ResolvedCaptions)}


if __name__ == "__main__":
    run_step(main, snakemake)
