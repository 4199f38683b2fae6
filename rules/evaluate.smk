"""Scores.

Needs: predictions.json and proposals.json of an experiment, results/<dataset>/annotations.json.
Gives: results/experiments/<experiment>/<run>/seed<k>/scores.json.
"""


rule evaluate:
    """Detection mAP, and average recall of the proposals, by the ActivityNet protocols (evaluation.md 3, 4)."""
    input:
        predictions="results/experiments/{experiment}/{run}/seed{seed}/predictions.json",
        proposals="results/experiments/{experiment}/{run}/seed{seed}/proposals.json",
        annotations=experiment_annotations,
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
        code=code_version("tsp.evaluation.proposals"),
    script:
        "../workflow/scripts/evaluate.py"
