"""Candidates and Soft-NMS: the proposals; with video-level classes: the detections."""

from pathlib import Path

from tsp.config.experiments import read_experiment
from tsp.job import optional_path
from tsp.localise.method import Raw
from tsp.steps import run_step


def main(job):
    method, config = read_experiment(job.input.config)
    raw = Raw(path=Path(job.input.raw), annotations=Path(job.input.annotations), subset=job.params.subsets["valid"])
    labels = optional_path(job.input.get("labels"))
    method.post_process(config, raw, labels=labels, output=Path(job.output.predictions))
    method.propose(config, raw, output=Path(job.output.proposals))


if __name__ == "__main__":
    run_step(main, snakemake)
