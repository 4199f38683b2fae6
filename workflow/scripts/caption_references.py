"""Write the captions of a generated data set in the format of ActivityNet Captions."""

from tsp.caption.text import write_references
from tsp.io.annotations import read_annotations
from tsp.steps import run_step


def main(job):
    videos = [v for v in read_annotations(job.input.annotations) if v.subset == job.params.official]
    write_references(job.output[0], videos)


if __name__ == "__main__":
    run_step(main, snakemake)
