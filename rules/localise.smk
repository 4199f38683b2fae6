"""Downstream localisers on frozen features: train, infer, post-process; the same rules for every method.

Needs: results/features, results/<dataset>/annotations.json, video-level class scores.
Gives: results/experiments/<experiment>/<run>/seed<k>/{weights.safetensors, log.jsonl, raw.h5, predictions.json,
proposals.json, sweep.csv}; results/experiments/<experiment>/proposals/<run>/{train,valid}.txt.
"""


rule resolve_experiment:
    """The complete configuration of an experiment, checked before any training."""
    output:
        paths.Experiment.CONFIG,
    log:
        "logs/resolve_experiment/{experiment}.log",
    benchmark:
        "logs/resolve_experiment/{experiment}.tsv"
    priority: 100
    localrule: True
    conda:
        "../envs/localise.yaml"
    params:
        entry=plan.experiment_entry,
        code=plan.code.method("resolve_experiment", options=True),
    script:
        "../workflow/scripts/resolve_experiment.py"


rule train_localiser:
    """Train the method on one kind of features with one seed."""
    input:
        config=paths.Experiment.CONFIG,
        train=plan.train_features,
        valid=plan.valid_features,
        # Empty for a method that refines no proposals, here and below.
        train_proposals=plan.train_proposals,
        valid_proposals=plan.valid_proposals,
        annotations=plan.annotations,
    output:
        weights=paths.Training.WEIGHTS,
        facts=paths.Training.FACTS,
        log=paths.Training.LOG,
    log:
        "logs/train_localiser/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/train_localiser/{experiment}-{run}-{seed}.tsv"
    conda:
        "../envs/localise.yaml"
    threads: plan.threads(4)
    resources:
        gpu=plan.gpus,
        mem_mb=plan.training_memory,
        runtime=plan.minutes(480),
    params:
        subsets=plan.official_subsets,
        work=paths.Training.WORK,
        inputs=inputs,
        code=plan.code.method("train_localiser"),
    script:
        "../workflow/scripts/train_localiser.py"


rule infer_localiser:
    """Raw predictions of every video, kept so that post-processing can be retuned."""
    input:
        config=paths.Experiment.CONFIG,
        weights=paths.Training.WEIGHTS,
        features=plan.valid_features,
        proposals=plan.valid_proposals,
        annotations=plan.annotations,
    output:
        paths.Training.RAW,
    log:
        "logs/infer_localiser/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/infer_localiser/{experiment}-{run}-{seed}.tsv"
    conda:
        "../envs/localise.yaml"
    threads: plan.threads(4)
    resources:
        gpu=plan.gpus,
        mem_mb=plan.memory(16000),
        runtime=plan.minutes(120),
    params:
        subset=plan.measured_subset,
        inputs=inputs,
        code=plan.code.method("infer_localiser"),
    script:
        "../workflow/scripts/infer_localiser.py"


use rule infer_localiser as infer_training_subset with:
    input:
        config=paths.Experiment.CONFIG,
        weights=paths.Training.WEIGHTS,
        features=plan.train_features,
        proposals=plan.train_proposals,
        annotations=plan.annotations,
    output:
        paths.Training.RAW_TRAIN,
    log:
        "logs/infer_training_subset/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/infer_training_subset/{experiment}-{run}-{seed}.tsv"
    params:
        subset=plan.training_subset,
        inputs=inputs,
        code=plan.code.method("infer_localiser"),


rule list_candidates:
    """Proposals of one subset for a method that refines them: an experiment's candidates before any suppression."""
    input:
        config=plan.source_config,
        raw=plan.source_raw,
        annotations=plan.annotations,
        metadata=plan.source_metadata,
    output:
        paths.Experiment.PROPOSALS,
    log:
        "logs/list_candidates/{experiment}-{run}-{side}.log",
    benchmark:
        "logs/list_candidates/{experiment}-{run}-{side}.tsv"
    wildcard_constraints:
        experiment=one_of(plan.refiners_of_experiments),
    conda:
        "../envs/localise.yaml"
    resources:
        mem_mb=plan.memory(8000),
        runtime=plan.minutes(120),
    params:
        settings=plan.source_settings,
        keep=plan.kept_proposals,
        subset=plan.listed_subset,
        inputs=inputs,
        code=plan.code.refined("list_candidates"),
    script:
        "../workflow/scripts/list_candidates.py"


rule list_predictions:
    """Proposals of one subset from a file in ActivityNet's format."""
    input:
        predictions=plan.source_predictions,
        annotations=plan.annotations,
        metadata=plan.source_metadata,
    output:
        paths.Experiment.PROPOSALS,
    log:
        "logs/list_predictions/{experiment}-{run}-{side}.log",
    benchmark:
        "logs/list_predictions/{experiment}-{run}-{side}.tsv"
    wildcard_constraints:
        experiment=one_of(plan.refiners_of_predictions),
    conda:
        "../envs/localise.yaml"
    params:
        keep=plan.kept_proposals,
        subset=plan.listed_subset,
        inputs=inputs,
        code=code("list_predictions"),
    script:
        "../workflow/scripts/list_predictions.py"


rule post_process:
    """Candidates and Soft-NMS: proposals; with video-level classes: detections; both in ActivityNet's format."""
    input:
        config=paths.Experiment.CONFIG,
        raw=paths.Training.RAW,
        annotations=plan.annotations,
        labels=plan.labels,
    output:
        predictions=paths.Training.PREDICTIONS,
        proposals=paths.Training.PROPOSALS,
    log:
        "logs/post_process/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/post_process/{experiment}-{run}-{seed}.tsv"
    conda:
        "../envs/localise.yaml"
    threads: plan.threads(4)
    params:
        subsets=plan.official_subsets,
        inputs=inputs,
        code=plan.code.method("post_process"),
    script:
        "../workflow/scripts/post_process.py"


rule sweep:
    """The experiment's `sweep`: options of post-processing tried on the raw predictions of one training."""
    input:
        config=paths.Experiment.CONFIG,
        raw=paths.Training.RAW,
        annotations=plan.annotations,
        labels=plan.labels,
    output:
        csv=paths.Training.SWEEP_CSV,
        md=paths.Training.SWEEP_MD,
    log:
        "logs/sweep/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/sweep/{experiment}-{run}-{seed}.tsv"
    conda:
        "../envs/localise.yaml"
    threads: plan.threads(4)
    params:
        grid=plan.sweep,
        subsets=plan.official_subsets,
        tious=plan.tious,
        inputs=inputs,
        code=plan.code.method("sweep"),
    script:
        "../workflow/scripts/sweep.py"
