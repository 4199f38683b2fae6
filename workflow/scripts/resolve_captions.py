"""Write the complete configuration of both networks of BMT."""

from tsp.config.load import write_config
from tsp.config.resolved import resolve_captions
from tsp.steps import run_step


def main(job):
    write_config(job.output[0], resolve_captions(job.wildcards.captioning, job.params.entry))


if __name__ == "__main__":
    run_step(main, snakemake)
