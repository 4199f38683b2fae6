"""Extract the clip features of one shard of a subset."""

from pathlib import Path

from tsp.config.load import build, read_config, read_yaml
from tsp.config.resolved import ResolvedRun
from tsp.features.config import ExtractConfig
from tsp.features.extract import FINISHED, extract_shard
from tsp.io.features import add_resumed
from tsp.job import workers_of
from tsp.plan.unfinished import Unfinished
from tsp.steps import run_step


def main(job):
    extract_shard(
        Path(job.input.weights),
        Path(job.input.manifest),
        Path(job.params.videos),
        Path(job.output[0]),
        encoder=read_config(job.input.config, ResolvedRun).encoder,
        stride=int(job.wildcards.stride),
        config=build(ExtractConfig, job.params.config, "extract"),
        work=Path(job.params.work),
        workers=workers_of(job),
    )


if __name__ == "__main__":
    # Each video is compared with the manifest; of the configuration only the encoder matters.
    shard = Unfinished(
        state=FINISHED, free=("run",), itemised=("manifest",), read_config=read_yaml, state_in=add_resumed
    )
    run_step(main, snakemake, options={"config": ExtractConfig}, unfinished=shard)
