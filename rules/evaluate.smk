"""Scores.

Needs: weights.json, predictions.json and proposals.json of an experiment, results/<dataset>/annotations.json,
metadata.
Gives: results/experiments/<experiment>/<run>/seed<k>/scores.json.
"""


rule evaluate:
    """Detection mAP, average recall of the proposals, error analyses (evaluation.md 3, 4, 7)."""
    input:
        predictions=paths.Training.PREDICTIONS,
        proposals=paths.Training.PROPOSALS,
        # Warnings of the training.
        facts=paths.Training.FACTS,
        annotations=plan.annotations,
        metadata=plan.measured_metadata,
    output:
        paths.Training.SCORES,
    log:
        "logs/evaluate/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/evaluate/{experiment}-{run}-{seed}.tsv"
    conda:
        "../envs/evaluate.yaml"
    params:
        subsets=plan.official_subsets,
        tious=plan.tious,
        buckets=plan.buckets,
        inputs=inputs,
        code=code("evaluate"),
    script:
        "../workflow/scripts/evaluate.py"
