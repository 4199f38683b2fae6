"""Average recall of a table's proposals."""

from pathlib import Path

from tsp.config import build
from tsp.report.build import draw_recall
from tsp.report.config import TableConfig
from tsp.steps import run_step


def main(job):
    config = build(TableConfig, job.params.entry, "table")
    scores = dict(zip(job.params.cells, map(Path, job.input.scores), strict=True))
    draw_recall(config, scores, Path(job.output[0]))


if __name__ == "__main__":
    run_step(main, snakemake)
