"""Scores.

Needs: predictions.json and proposals.json of an experiment, results/<dataset>/annotations.json,
metadata.
Gives: results/experiments/<experiment>/<run>/seed<k>/scores.json.
"""


rule evaluate:
    """Detection mAP, average recall of the proposals, error analyses (evaluation.md 3, 4, 7)."""
    input:
        predictions="results/experiments/{experiment}/{run}/seed{seed}/predictions.json",
        proposals="results/experiments/{experiment}/{run}/seed{seed}/proposals.json",
        annotations=experiment_annotations,
        metadata=measured_metadata,
    output:
        "results/experiments/{experiment}/{run}/seed{seed}/scores.json",
    log:
        "logs/evaluate/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/evaluate/{experiment}-{run}-{seed}.tsv"
    conda:
        "../envs/tsp.yaml"
    params:
        subsets=experiment_subsets,
        tious=experiment_tious,
        buckets=experiment_buckets,
        code=code_version("tsp.evaluation.proposals", "tsp.evaluation.errors"),
    script:
        "../workflow/scripts/evaluate.py"
