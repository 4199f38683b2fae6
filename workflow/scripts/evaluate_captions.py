"""Scores of the captions of learned proposals and of annotated segments."""

from tsp.caption.score import score
from tsp.io.files import write_json
from tsp.steps import run_step


def main(job):
    files = job.input
    write_json(job.output[0], score(files.captions, files.annotated, files.references, files.available or None))


if __name__ == "__main__":
    run_step(main, snakemake)
