"""Re-encode the videos of one shard to constant frame rate mp4."""

from pathlib import Path

from tsp.config.load import build
from tsp.steps import run_step
from tsp.video.config import DownloadConfig, StandardiseConfig
from tsp.video.standardise import standardise_shard


def main(job):
    standardise_shard(
        Path(job.input.manifest),
        raw=Path(job.params.raw),
        store=Path(job.params.store),
        output=Path(job.output[0]),
        config=build(StandardiseConfig, job.params.config, "standardise"),
        workers=job.threads,
        download=build(DownloadConfig, job.params.download, "download"),
        code=job.params.code,
        encoding=job.params.encoding,
    )


if __name__ == "__main__":
    run_step(main, snakemake, pure=False)
