"""Candidates, Soft-NMS and video-level classes: the detections."""

from pathlib import Path

from tsp.config import read_experiment
from tsp.steps import optional_path, run_step


def main(job):
    method, config = read_experiment(job.input.config)
    method.post_process(
        config,
        raw=Path(job.input.raw),
        annotations=Path(job.input.annotations),
        subset=job.params.subsets["valid"],
        labels=optional_path(job.input.get("labels")),
        output=Path(job.output[0]),
    )


if __name__ == "__main__":
    run_step(main, snakemake)
