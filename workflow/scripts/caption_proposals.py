"""Caption the proposals."""

from pathlib import Path

from tsp.caption.data import Measured
from tsp.caption.infer import caption_proposals
from tsp.config.load import read_config
from tsp.config.resolved import ResolvedCaptions
from tsp.steps import run_step


def main(job):
    caption_proposals(
        read_config(job.input.config, ResolvedCaptions).config,
        Measured.of(job.input),
        weights=Path(job.input.weights),
        proposals=Path(job.input.proposals),
        output=Path(job.output[0]),
    )


if __name__ == "__main__":
    run_step(main, snakemake)
