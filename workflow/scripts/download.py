"""Download the raw videos of one shard."""

from pathlib import Path

from tsp.config.load import build
from tsp.steps import run_step
from tsp.video.config import DownloadConfig
from tsp.video.download import download_shard


def main(job):
    config = build(DownloadConfig, job.params.config, "download")
    download_shard(Path(job.input.videos), Path(job.params.store), Path(job.output[0]), config)


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
