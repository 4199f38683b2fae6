"""Clip features of a run on any data set, and video-level scores from its action head.

Needs: results/pretrain/<run>/encoder.safetensors, results/<dataset>/{probe,metadata,videos}; or released features.
Gives: results/features/<run>/stride<n>/<dataset>-<subset>.h5, results/labels/<run>/stride<n>/<dataset>-<subset>.json.
"""


rule extract_features:
    """Clip features of one shard of one subset, each video decoded once (tsp.md 9)."""
    input:
        weights="results/pretrain/{run}/encoder.safetensors",
        manifest="results/{dataset}/probe/{subset}.{shard}.csv",
        config="results/pretrain/{run}/config.yaml",
    output:
        # Kept beside the merged file, so that new videos cost their own shard only.
        "results/features/{run}/stride{stride}/{dataset}-{subset}.{shard}.h5",
    log:
        "logs/extract_features/{run}-{stride}-{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/extract_features/{run}-{stride}-{dataset}-{subset}-{shard}.tsv"
    conda:
        "../envs/tsp.yaml"
    threads: threads(6)
    resources:
        gpu=GPUS,
        mem_mb=memory(16000),
        runtime=240,
    params:
        videos="results/{dataset}/videos/{subset}",
        work="results/features/{run}/stride{stride}/work/{dataset}-{subset}.{shard}",
        config=asdict(SETTINGS.extract),
        code=code_version("tsp.features.extract"),
    script:
        "../workflow/scripts/extract_features.py"


rule merge_features:
    """The feature file of a subset."""
    input:
        shards=shards("results/features/{run}/stride{stride}/{dataset}-{subset}.{shard}.h5"),
        # Here, not before the shards, too many unusable videos stop it: no shard depends on the others' videos.
        accepted="results/{dataset}/metadata/{subset}.csv",
    output:
        "results/features/{run}/stride{stride}/{dataset}-{subset}.h5",
    log:
        "logs/merge_features/{run}-{stride}-{dataset}-{subset}.log",
    benchmark:
        "logs/merge_features/{run}-{stride}-{dataset}-{subset}.tsv"
    wildcard_constraints:
        run=one_of(name for name, run in SETTINGS.runs.items() if not run.features),
    conda:
        "../envs/tsp.yaml"
    params:
        code=code_version("tsp.io.features"),
    script:
        "../workflow/scripts/merge_features.py"


rule fetch_features:
    """Released features by address and checksum, or a local copy (tsp.md 9.3)."""
    input:
        config="results/pretrain/{run}/config.yaml",
    output:
        "results/features/{run}/stride{stride}/{dataset}-{subset}.h5",
    log:
        "logs/fetch_features/{run}-{stride}-{dataset}-{subset}.log",
    benchmark:
        "logs/fetch_features/{run}-{stride}-{dataset}-{subset}.tsv"
    wildcard_constraints:
        run=one_of(name for name, run in SETTINGS.runs.items() if run.features),
    conda:
        "../envs/tsp.yaml"
    params:
        source=features_source,
        code=code_version("tsp.features.released"),
    script:
        "../workflow/scripts/fetch_features.py"


rule video_scores:
    """Video-level class scores: the action head's softmax averaged over the clips of a video."""
    input:
        features="results/features/{run}/stride{stride}/{dataset}-{subset}.h5",
        weights="results/pretrain/{run}/encoder.safetensors",
        annotations="results/{dataset}/annotations.json",
    output:
        "results/labels/{run}/stride{stride}/{dataset}-{subset}.json",
    log:
        "logs/video_scores/{run}-{stride}-{dataset}-{subset}.log",
    benchmark:
        "logs/video_scores/{run}-{stride}-{dataset}-{subset}.tsv"
    conda:
        "../envs/tsp.yaml"
    params:
        labels=run_labels,
        code=code_version("tsp.localise.labels"),
    script:
        "../workflow/scripts/video_scores.py"
