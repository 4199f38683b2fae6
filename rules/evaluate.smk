"""Scores.

Needs: predictions.json and, where asked for, proposals.json of an experiment, results/<dataset>/annotations.json.
Gives: results/experiments/<experiment>/<run>/seed<k>/scores.json.
"""


rule evaluate_detection:
    """Detection mAP by the ActivityNet protocol (evaluation.md 3); AR@AN and AUC where proposals are asked for."""
    input:
        predictions="results/experiments/{experiment}/{run}/seed{seed}/predictions.json",
        proposals=experiment_proposals,
        annotations=experiment_annotations,
    output:
        "results/experiments/{experiment}/{run}/seed{seed}/scores.json",
    log:
        "logs/evaluate_detection/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/evaluate_detection/{experiment}-{run}-{seed}.tsv"
    conda:
        "../envs/tsp.yaml"
    params:
        subsets=experiment_subsets,
        tious=experiment_tious,
        code=code_version("tsp.evaluation.scores"),
    script:
        "../workflow/scripts/evaluate_detection.py"
