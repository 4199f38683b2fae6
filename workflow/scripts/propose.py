"""Propose segments to caption."""

from pathlib import Path

from tsp.caption.data import Measured
from tsp.caption.infer import propose
from tsp.config.load import read_config
from tsp.config.resolved import ResolvedCaptions
from tsp.steps import run_step


def main(job):
    propose(
        read_config(job.input.config, ResolvedCaptions).config,
        Measured.of(job.input),
        weights=Path(job.input.weights),
        output=Path(job.output[0]),
    )


if __name__ == "__main__":
    run_step(main, snakemake)
