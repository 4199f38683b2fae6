"""Tables of captions, and example videos with timeline, predicted and reference sentences."""

from tsp.report.caption_page import captions_page
from tsp.steps import run_step


def main(job):
    files = zip(job.input.annotated, job.input.learned, strict=True)
    captions_page(
        job.output[0],
        tables=job.input.tables,
        references=job.input.references,
        runs=dict(zip(job.params.labels, files, strict=True)),
        videos=job.params.videos,
        miniature=job.params.miniature,
    )


if __name__ == "__main__":
    run_step(main, snakemake)
