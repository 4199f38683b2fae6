"""One table: ours, published, difference, seeds and spread."""

from tsp.config.load import build
from tsp.io.files import read_json
from tsp.report.config import TableConfig
from tsp.report.scores import read_scores
from tsp.report.tables import build_table, write_table_files
from tsp.steps import run_step


def main(job):
    config = build(TableConfig, job.params.entry, "table")
    scores = read_scores(dict(zip(job.params.cells, job.input.scores, strict=True)))
    facts = zip(job.params.get("encoders", []), job.input.get("encoders", []), strict=True)
    outdated = {run: read_json(path).get("outdated", []) for run, path in facts}
    write_table_files(build_table(config, scores, outdated), job.output.csv, job.output.md, job.output.html)


if __name__ == "__main__":
    run_step(main, snakemake, options={"entry": TableConfig})
