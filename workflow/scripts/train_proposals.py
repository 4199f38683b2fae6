"""Train the proposal generator on the captioner's encoder."""

from pathlib import Path

from tsp.caption.data import CaptionInputs
from tsp.caption.train import train_proposals
from tsp.config.load import read_config, read_yaml
from tsp.config.resolved import ResolvedCaptions
from tsp.plan.unfinished import Unfinished
from tsp.steps import run_step
from tsp.training.checkpoint import FREE, STATE


def main(job):
    train_proposals(
        read_config(job.input.config, ResolvedCaptions).config,
        CaptionInputs.of(job.input),
        captioner=Path(job.input.captioner),
        seed=int(job.wildcards.seed),
        weights=Path(job.output.weights),
        work=Path(job.params.work),
    )


if __name__ == "__main__":
    run_step(main, snakemake, unfinished=Unfinished(state=STATE, free=FREE, read_config=read_yaml))
