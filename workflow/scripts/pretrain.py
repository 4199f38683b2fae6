"""Train an encoder with the TSP or TAC heads, or convert released weights."""

from functools import partial

from tsp.config.load import read_config
from tsp.config.resolved import ResolvedRun
from tsp.job import workers_of
from tsp.plan.unfinished import Unfinished
from tsp.pretrain.train import FREE_OF_RUN, PretrainInputs, pretrain
from tsp.steps import run_step
from tsp.training.checkpoint import FREE, STATE
from tsp.training.distributed import launch


def main(job):
    config = read_config(job.input.config, ResolvedRun)
    # Tasks of the cluster's launcher, or GPUs of this machine.
    devices = max(1, job.resources.get("tasks", job.resources.get("gpu", 1))) if config.run.is_trained else 1
    launcher = job.resources.get("mpi")
    inputs = PretrainInputs(
        train_segments=job.input.get("train"),
        valid_segments=job.input.get("valid"),
        train_videos=job.params.get("train_videos"),
        valid_videos=job.params.get("valid_videos"),
        labels=job.params.labels,
        gvf=job.input.get("gvf"),
        start=job.input.get("start"),
        weights=job.input.get("weights"),
    )
    work = partial(
        pretrain,
        config.run,
        config.encoder,
        inputs,
        output=job.output.weights,
        work_dir=job.params.work,
        workers=workers_of(job, 1 if launcher else devices),  # a launcher's tasks have the job's threads each
        code=job.params.code,
    )
    launch(work, devices, launcher=launcher)


if __name__ == "__main__":
    training = Unfinished(state=STATE, free=(*FREE, *FREE_OF_RUN))
    run_step(main, snakemake, options={"settings": ResolvedRun}, unfinished=training)
