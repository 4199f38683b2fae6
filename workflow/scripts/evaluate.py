"""Detection mAP, average recall of the proposals (ActivityNet protocols), and error analyses of the detections."""

from tsp.evaluation import detection, errors, proposals
from tsp.io.files import read_json, write_json
from tsp.steps import run_step


def main(job):
    truth, subset = job.input.annotations, job.params.subsets["valid"]
    found = detection.scores_json(detection.detection_map(truth, job.input.predictions, subset, job.params.tious))
    recall = proposals.scores_json(proposals.proposal_recall(truth, job.input.proposals, subset))
    failures = errors.analyse_files(
        truth, job.input.predictions, subset, job.params.buckets, metadata=job.input.get("metadata") or None
    )
    warnings = read_json(job.input.facts).get("warnings")
    stated = {"warnings": warnings} if warnings else {}
    write_json(job.output[0], {**found, "proposals": recall, "errors": failures, **stated})


if __name__ == "__main__":
    run_step(main, snakemake)
