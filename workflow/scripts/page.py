"""Everything on one self-contained page."""

from pathlib import Path

from tsp.report.build import write_report
from tsp.steps import run_step


def main(job):
    tables = job.params.tables
    write_report(
        Path(job.output[0]),
        tables=dict(zip(tables, map(Path, job.input.tables), strict=True)),
        titles=job.params.titles,
        figures={table: Path("results/report/figures") / table for table in job.params.drawn},
        featured=job.params.featured,
        overlays={Path(path).parent.name: Path(path) for path in job.input.get("overlays", [])},
        captions=[Path(path) for path in job.input.get("captions", [])],
        miniature=job.params.miniature,
        manifests=dict(zip(job.params.manifests, map(Path, job.input.manifests), strict=True)),
        benchmarks=Path("logs").glob("*/*.tsv"),
        inputs=[Path(path) for path in [*job.input.annotations, *job.input.manifests, *job.input.encoders]],
        configuration=job.params.configuration,
        repository=Path(job.params.repository),
    )


if __name__ == "__main__":
    run_step(main, snakemake)
