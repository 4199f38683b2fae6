"""Grid search over post-processing options on existing raw predictions."""

from pathlib import Path

from tsp.job import optional_path
from tsp.steps import run_step
from tsp.sweep import Inputs, sweep, write_sweep


def main(job):
    inputs = Inputs(
        config=Path(job.input.config),
        raw=Path(job.input.raw),
        annotations=Path(job.input.annotations),
        labels=optional_path(job.input.get("labels")),
        subset=job.params.subsets["valid"],
    )
    found = sweep(inputs, job.params.grid, job.params.tious)
    write_sweep(found, Path(job.output.csv), Path(job.output.md))


if __name__ == "__main__":
    run_step(main, snakemake)
