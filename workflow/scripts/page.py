"""Everything on one self-contained page."""

from pathlib import Path

from tsp.config.load import ROOT
from tsp.report.build import ReportFacts, ReportSources, write_report
from tsp.steps import run_step


def main(job):
    sources = ReportSources(
        tables=[Path(path) for path in job.input.tables],
        figures={table: Path("results/report/figures") / table for table in job.params.drawn},
        featured=job.params.featured,
        overlays={Path(path).parent.name: Path(path) for path in job.input.get("overlays", [])},
        captions=[Path(path) for path in job.input.get("captions", [])],
        manifests=dict(zip(job.params.manifests, map(Path, job.input.manifests), strict=True)),
        benchmarks=Path("logs").glob("*/*.tsv"),
        inputs=[Path(path) for path in [*job.input.annotations, *job.input.manifests, *job.input.encoders]],
    )
    facts = ReportFacts(
        titles=job.params.titles,
        miniature=job.params.miniature,
        configuration=job.params.configuration,
        repository=ROOT,
    )
    write_report(Path(job.output[0]), sources, facts)


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
