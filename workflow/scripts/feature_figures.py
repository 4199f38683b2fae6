"""The figures of a table's features: their training, and one video."""

from pathlib import Path

from tsp.config.load import build
from tsp.report.build import FeatureFigureSources, draw_feature_figures
from tsp.report.config import TableConfig
from tsp.steps import run_step


def main(job):
    config = build(TableConfig, job.params.entry, "table")
    sources = FeatureFigureSources(
        features=dict(zip([row.run for row in config.rows], map(Path, job.input.features), strict=True)),
        logs=dict(zip(job.params.trained, map(Path, job.input.logs), strict=True)),
        annotations=Path(job.input.annotations),
        subset=job.params.subset,
    )
    draw_feature_figures(config, sources, Path(job.params.folder))


if __name__ == "__main__":
    run_step(main, snakemake, options={"entry": TableConfig})
