"""Download the raw videos of one shard."""

from pathlib import Path

from tsp.config.load import build
from tsp.io.sources import facts_path
from tsp.steps import run_step
from tsp.video.config import DownloadConfig
from tsp.video.download import download_shard


def main(job):
    config, store = build(DownloadConfig, job.params.config, "download"), Path(job.params.store)
    facts = facts_path(store, job.wildcards.shard)
    download_shard(Path(job.input.videos), store, Path(job.output[0]), config, facts=facts, token=job.params.sources)


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
