"""Scores, timeline, videos and sentences of dense captioning on one page."""

from tsp.report.captions import draw_events, examples_of, write_caption_page
from tsp.steps import run_step


def main(job):
    predictions = dict(zip(job.params.labels, job.input.captions, strict=True))
    examples = examples_of(job.input.references, predictions)
    draw_events(examples, job.output.figure, note=job.params.note)
    write_caption_page(
        job.output.page,
        table=job.input.table,
        examples=examples,
        figure=job.output.figure,
        videos=job.params.videos,
    )


if __name__ == "__main__":
    run_step(main, snakemake)
