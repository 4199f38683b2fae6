"""Detection mAP by the ActivityNet protocol."""

from tsp.evaluation.detection import detection_map, scores_json
from tsp.io.files import write_json
from tsp.steps import run_step


def main(job):
    result = detection_map(job.input.annotations, job.input.predictions, job.params.subsets["valid"], job.params.tious)
    write_json(job.output[0], scores_json(result))


if __name__ == "__main__":
    run_step(main, snakemake)
