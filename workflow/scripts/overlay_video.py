"""A video with its actions and predictions running below it."""

from tsp.report.overlay_video import overlay_of_files
from tsp.steps import run_step


def main(job):
    overlay_of_files(
        job.input.annotations,
        dict(zip(job.params.labels, job.input.predictions, strict=True)),
        job.params.videos,
        job.output[0],
        subset=job.params.subset,
        name=job.params.name,
    )


if __name__ == "__main__":
    run_step(main, snakemake)
