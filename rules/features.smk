"""Clip features of a run on any data set, and video-level scores from its action head.

Needs: results/pretrain/<run>/encoder.safetensors, results/<dataset>/{probe,metadata,videos}; or released features.
Gives: results/features/<run>/stride<n>/<dataset>-<subset>.h5, results/labels/<run>/stride<n>/<dataset>-<subset>.json.
"""


rule extract_features:
    """Clip features of one shard of one subset, each video decoded once (tsp.md 9)."""
    input:
        weights=paths.Run.ENCODER,
        manifest=paths.Data.PROBE,
        config=paths.Run.CONFIG,
    output:
        # Kept beside the merged file, so that new videos cost their own shard only.
        paths.Features.SHARD,
    log:
        "logs/extract_features/{run}-{stride}-{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/extract_features/{run}-{stride}-{dataset}-{subset}-{shard}.tsv"
    conda:
        "../envs/features.yaml"
    threads: plan.threads(6)
    resources:
        gpu=plan.gpus,
        mem_mb=plan.memory(16000),
        runtime=plan.minutes(240),
    params:
        videos=paths.Data.VIDEOS,
        work=paths.Features.WORK,
        config=plan.extract,
        inputs=inputs,
        code=plan.code.encoder("extract_features"),
    script:
        "../workflow/scripts/extract_features.py"


rule merge_features:
    """The feature file of a subset."""
    input:
        shards=plan.feature_shards,
        # Too many unusable videos are an error here, not before the shards: no shard depends on the others' videos.
        accepted=paths.Data.METADATA,
    output:
        paths.Features.FILE,
    log:
        "logs/merge_features/{run}-{stride}-{dataset}-{subset}.log",
    benchmark:
        "logs/merge_features/{run}-{stride}-{dataset}-{subset}.tsv"
    wildcard_constraints:
        run=one_of(plan.with_own_features),
    conda:
        "../envs/features.yaml"
    params:
        inputs=inputs,
        code=code("merge_features"),
    script:
        "../workflow/scripts/merge_features.py"


rule fetch_features:
    """Released features by address and checksum, or a local copy (tsp.md 9.3)."""
    input:
        config=paths.Run.CONFIG,
        given=plan.given_features,
    output:
        paths.Features.FILE,
    log:
        "logs/fetch_features/{run}-{stride}-{dataset}-{subset}.log",
    benchmark:
        "logs/fetch_features/{run}-{stride}-{dataset}-{subset}.tsv"
    wildcard_constraints:
        run=one_of(plan.with_released_features),
    conda:
        "../envs/features.yaml"
    params:
        source=plan.released_features,
        inputs=inputs,
        code=code("fetch_features"),
    script:
        "../workflow/scripts/fetch_features.py"


rule video_scores:
    """Video-level class scores: the action head's softmax averaged over the clips of a video."""
    input:
        features=paths.Features.FILE,
        weights=paths.Run.ENCODER,
        annotations=paths.Data.ANNOTATIONS,
    output:
        paths.Labels.FILE,
    log:
        "logs/video_scores/{run}-{stride}-{dataset}-{subset}.log",
    benchmark:
        "logs/video_scores/{run}-{stride}-{dataset}-{subset}.tsv"
    conda:
        "../envs/features.yaml"
    params:
        labels=plan.run_labels,
        inputs=inputs,
        code=code("video_scores"),
    script:
        "../workflow/scripts/video_scores.py"
