"""One video with its actions and predictions."""

from tsp.config import build
from tsp.report.clip import overlay_of_files
from tsp.report.config import TableConfig
from tsp.steps import run_step


def main(job):
    config = build(TableConfig, job.params.entry, "table")
    labels = [row.label for row in config.rows]
    overlay_of_files(
        job.input.annotations,
        dict(zip(labels, job.input.predictions, strict=True)),
        job.params.videos,
        job.output[0],
        subset=job.params.subset,
        name=config.video,
        note=job.params.note,
    )


if __name__ == "__main__":
    run_step(main, snakemake)
