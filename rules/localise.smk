"""Downstream localisers on frozen features: train, infer, post-process; the same rules for any method.

Needs: results/features, results/<dataset>/annotations.json, video-level class scores.
Gives: results/experiments/<experiment>/<run>/seed<k>/{weights.safetensors, log.jsonl, raw.h5, predictions.json,
proposals.json, sweep.csv}; results/experiments/<experiment>/proposals/<run>/{train,valid}.txt.
"""


rule resolve_experiment:
    """The complete configuration of an experiment, checked before any training."""
    output:
        "results/experiments/{experiment}/config.yaml",
    log:
        "logs/resolve_experiment/{experiment}.log",
    benchmark:
        "logs/resolve_experiment/{experiment}.tsv"
    priority: 100
    localrule: True
    conda:
        "../envs/tsp.yaml"
    params:
        entry=experiment_params,
    script:
        "../workflow/scripts/resolve_experiment.py"


rule train_localiser:
    """Train the method on one kind of features with one seed."""
    input:
        config="results/experiments/{experiment}/config.yaml",
        train=subset_features("train"),
        valid=subset_features("valid"),
        annotations=experiment_annotations,
    output:
        weights="results/experiments/{experiment}/{run}/seed{seed}/weights.safetensors",
        log="results/experiments/{experiment}/{run}/seed{seed}/log.jsonl",
    log:
        "logs/train_localiser/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/train_localiser/{experiment}-{run}-{seed}.tsv"
    wildcard_constraints:
        experiment=one_of(localisers),
    conda:
        "../envs/tsp.yaml"
    threads: threads(4)
    resources:
        gpu=GPUS,
        mem_mb=memory(16000),
        runtime=minutes(480),
    params:
        subsets=experiment_subsets,
        work="results/experiments/{experiment}/{run}/seed{seed}/work",
        code=method_code,
    script:
        "../workflow/scripts/train_localiser.py"


rule infer_localiser:
    """Raw predictions of every video, kept so that post-processing can be retuned."""
    input:
        config="results/experiments/{experiment}/config.yaml",
        weights="results/experiments/{experiment}/{run}/seed{seed}/weights.safetensors",
        features=subset_features("valid"),
        annotations=experiment_annotations,
    output:
        "results/experiments/{experiment}/{run}/seed{seed}/raw.h5",
    log:
        "logs/infer_localiser/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/infer_localiser/{experiment}-{run}-{seed}.tsv"
    wildcard_constraints:
        experiment=one_of(localisers),
    conda:
        "../envs/tsp.yaml"
    threads: threads(4)
    resources:
        gpu=GPUS,
        mem_mb=memory(16000),
        runtime=minutes(120),
    params:
        subset=measured_subset,
        code=method_code,
    script:
        "../workflow/scripts/infer_localiser.py"


use rule infer_localiser as infer_training_subset with:
    input:
        config="results/experiments/{experiment}/config.yaml",
        weights="results/experiments/{experiment}/{run}/seed{seed}/weights.safetensors",
        features=subset_features("train"),
        annotations=experiment_annotations,
    output:
        "results/experiments/{experiment}/{run}/seed{seed}/raw_train.h5",
    log:
        "logs/infer_training_subset/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/infer_training_subset/{experiment}-{run}-{seed}.tsv"
    params:
        subset=training_subset,
        code=method_code,


rule list_candidates:
    """Proposals of one subset for a method that refines them: an experiment's candidates before any suppression."""
    input:
        config=source_file("config.yaml"),
        raw=source_file("{run}/seed{seed}/{raw}.h5"),
        annotations=experiment_annotations,
        metadata=source_metadata,
    output:
        "results/experiments/{experiment}/proposals/{run}/{side}.txt",
    log:
        "logs/list_candidates/{experiment}-{run}-{side}.log",
    benchmark:
        "logs/list_candidates/{experiment}-{run}-{side}.tsv"
    wildcard_constraints:
        experiment=one_of(refiners_of_experiments),
    conda:
        "../envs/tsp.yaml"
    resources:
        mem_mb=memory(8000),
        runtime=minutes(120),
    params:
        settings=source_settings,
        keep=kept_proposals,
        subset=side_subset,
        code=source_code,
    script:
        "../workflow/scripts/list_candidates.py"


rule list_predictions:
    """Proposals of one subset from a file in ActivityNet's format."""
    input:
        predictions=source_predictions,
        annotations=experiment_annotations,
        metadata=source_metadata,
    output:
        "results/experiments/{experiment}/proposals/{run}/{side}.txt",
    log:
        "logs/list_predictions/{experiment}-{run}-{side}.log",
    benchmark:
        "logs/list_predictions/{experiment}-{run}-{side}.tsv"
    wildcard_constraints:
        experiment=one_of(refiners_of_predictions),
    conda:
        "../envs/tsp.yaml"
    params:
        keep=kept_proposals,
        subset=side_subset,
        code=code_version("tsp.localise.pgcn.proposal_lists"),
    script:
        "../workflow/scripts/list_predictions.py"


rule train_refiner:
    """Train a method that refines proposals."""
    input:
        config="results/experiments/{experiment}/config.yaml",
        train=subset_features("train"),
        valid=subset_features("valid"),
        train_proposals=proposal_list("train"),
        valid_proposals=proposal_list("valid"),
        annotations=experiment_annotations,
    output:
        weights="results/experiments/{experiment}/{run}/seed{seed}/weights.safetensors",
        log="results/experiments/{experiment}/{run}/seed{seed}/log.jsonl",
    log:
        "logs/train_refiner/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/train_refiner/{experiment}-{run}-{seed}.tsv"
    wildcard_constraints:
        experiment=one_of(refiners),
    conda:
        "../envs/tsp.yaml"
    threads: threads(4)
    resources:
        gpu=GPUS,
        mem_mb=memory(32000),
        runtime=minutes(480),
    params:
        subsets=experiment_subsets,
        work="results/experiments/{experiment}/{run}/seed{seed}/work",
        code=method_code,
    script:
        "../workflow/scripts/train_localiser.py"


rule infer_refiner:
    """Raw predictions of every listed video."""
    input:
        config="results/experiments/{experiment}/config.yaml",
        weights="results/experiments/{experiment}/{run}/seed{seed}/weights.safetensors",
        features=subset_features("valid"),
        proposals=proposal_list("valid"),
        annotations=experiment_annotations,
    output:
        "results/experiments/{experiment}/{run}/seed{seed}/raw.h5",
    log:
        "logs/infer_refiner/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/infer_refiner/{experiment}-{run}-{seed}.tsv"
    wildcard_constraints:
        experiment=one_of(refiners),
    conda:
        "../envs/tsp.yaml"
    threads: threads(4)
    resources:
        gpu=GPUS,
        mem_mb=memory(16000),
        runtime=minutes(120),
    params:
        subset=measured_subset,
        code=method_code,
    script:
        "../workflow/scripts/infer_localiser.py"


rule post_process:
    """Candidates and Soft-NMS: proposals; with video-level classes: detections; both in ActivityNet's format."""
    input:
        config="results/experiments/{experiment}/config.yaml",
        raw="results/experiments/{experiment}/{run}/seed{seed}/raw.h5",
        annotations=experiment_annotations,
        labels=experiment_labels,
    output:
        predictions="results/experiments/{experiment}/{run}/seed{seed}/predictions.json",
        proposals="results/experiments/{experiment}/{run}/seed{seed}/proposals.json",
    log:
        "logs/post_process/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/post_process/{experiment}-{run}-{seed}.tsv"
    conda:
        "../envs/tsp.yaml"
    threads: threads(4)
    params:
        subsets=experiment_subsets,
        code=method_code,
    script:
        "../workflow/scripts/post_process.py"


rule sweep:
    """The experiment's `sweep`: options of post-processing tried on the raw predictions of one training."""
    input:
        config="results/experiments/{experiment}/config.yaml",
        raw="results/experiments/{experiment}/{run}/seed{seed}/raw.h5",
        annotations=experiment_annotations,
        labels=experiment_labels,
    output:
        csv="results/experiments/{experiment}/{run}/seed{seed}/sweep.csv",
        md="results/experiments/{experiment}/{run}/seed{seed}/sweep.md",
    log:
        "logs/sweep/{experiment}-{run}-{seed}.log",
    benchmark:
        "logs/sweep/{experiment}-{run}-{seed}.tsv"
    conda:
        "../envs/tsp.yaml"
    threads: threads(4)
    params:
        grid=experiment_sweep,
        subsets=experiment_subsets,
        tious=experiment_tious,
        code=method_code,
    script:
        "../workflow/scripts/sweep.py"
