"""Video-level class scores from the action head."""

from pathlib import Path

from tsp.localise.labels import video_scores
from tsp.steps import run_step


def main(job):
    video_scores(
        features=Path(job.input.features),
        weights=Path(job.input.weights),
        annotations=Path(job.input.annotations),
        labels=job.params.labels,
        output=Path(job.output[0]),
    )


if __name__ == "__main__":
    run_step(main, snakemake)
