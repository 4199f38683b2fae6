"""Detection mAP by the ActivityNet protocol; AR@AN and AUC of proposals."""

from tsp.evaluation.scores import score_experiment
from tsp.io.files import write_json
from tsp.steps import run_step


def main(job):
    proposals = job.input.get("proposals") or None
    annotations, predictions = job.input.annotations, job.input.predictions
    scores = score_experiment(annotations, predictions, proposals, job.params.subsets["valid"], job.params.tious)
    write_json(job.output[0], scores)


if __name__ == "__main__":
    run_step(main, snakemake)
