"""The figures of a table's predictions."""

from pathlib import Path

from tsp.config.load import build
from tsp.report.build import FigureSources, draw_figures
from tsp.report.config import TableConfig
from tsp.steps import run_step


def main(job):
    config = build(TableConfig, job.params.entry, "table")
    runs = [row.run for row in config.rows]
    sources = FigureSources(
        scores=dict(zip(job.params.cells, map(Path, job.input.scores), strict=True)),
        predictions=dict(zip(runs, map(Path, job.input.predictions), strict=True)),
        annotations=Path(job.input.annotations),
        subset=job.params.subset,
    )
    draw_figures(config, sources, Path(job.params.folder))


if __name__ == "__main__":
    run_step(main, snakemake, options={"entry": TableConfig})
