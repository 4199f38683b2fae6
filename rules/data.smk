"""Raw videos and annotations -> standardised videos, metadata and ground-truth segments.

Needs: the annotation files of `datasets:` (the miniature renders its own) and the videos, local or to download.
Gives: results/<dataset>/{annotations.json, videos/<subset>/, metadata/<subset>.csv, manifest/<subset>.csv,
segments/<subset>.csv}.
Videos are in undeclared stores, so that a failed job loses none; the declared outputs are manifests with one
row per video.
"""


rule render:
    """Render the videos of a generated data set (docs/miniature.md)."""
    output:
        paths.Data.ORIGIN,
    log:
        "logs/render/{dataset}.log",
    benchmark:
        "logs/render/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(plan.generated),
    conda:
        "../envs/video.yaml"
    threads: 2
    resources:
        mem_mb=plan.memory(2000),
        runtime=plan.minutes(30),
    params:
        config=plan.rendering,
        files=plan.rendered_files,
        code=code("render"),
    script:
        "../workflow/scripts/render.py"


rule annotations:
    """Raw annotations in the canonical form (docs/formats/annotations.md)."""
    input:
        raw=plan.raw_annotations,
    output:
        paths.Data.ANNOTATIONS,
    log:
        "logs/annotations/{dataset}.log",
    benchmark:
        "logs/annotations/{dataset}.tsv"
    localrule: True
    conda:
        "../envs/annotations.yaml"
    params:
        dataset=plan.listing,
        examine=plan.examine,
        rows=plan.canonical_digest,
        inputs=inputs,
        code=plan.code.reader("annotations"),
    script:
        "../workflow/scripts/annotations.py"


rule annotations_report:
    """Doubtful annotations and what happens to them (docs/formats/annotations.md)."""
    input:
        raw=plan.raw_annotations,
        metadata=plan.report.examined_metadata,
    output:
        paths.Data.FINDINGS,
    log:
        "logs/annotations_report/{dataset}.log",
    benchmark:
        "logs/annotations_report/{dataset}.tsv"
    localrule: True
    conda:
        "../envs/annotations.yaml"
    params:
        dataset=plan.listing,
        examine=plan.examine,
        rows=plan.canonical_digest,
        inputs=inputs,
        code=plan.code.reader("annotations_report"),
    script:
        "../workflow/scripts/annotations_report.py"


rule video_list:
    """Names and sources of one shard."""
    input:
        generated=plan.generated_annotations,
        # A newer file reruns only the shards whose rows it changes: see `rows` below.
        given=ancient(plan.given_annotations),
    output:
        paths.Data.LIST,
    log:
        "logs/video_list/{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/video_list/{dataset}-{subset}-{shard}.tsv"
    localrule: True
    conda:
        "../envs/annotations.yaml"
    params:
        dataset=plan.listing,
        official=plan.official_subset,
        shard=plan.shard,
        rows=plan.shard_digest,
        inputs=inputs,
        code=plan.code.reader("video_list"),
    script:
        "../workflow/scripts/video_list.py"


rule download:
    """Download the raw videos of one shard; an unavailable video is a row of the manifest, not an error."""
    input:
        videos=paths.Data.LIST,
    output:
        paths.Data.DOWNLOAD,
    log:
        "logs/download/{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/download/{dataset}-{subset}-{shard}.tsv"
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        mem_mb=plan.memory(1000),
        runtime=plan.minutes(600),
    params:
        config=plan.download,
        store=paths.Data.RAW,
        sources=plan.sources,
        inputs=inputs,
        code=code("download"),
    script:
        "../workflow/scripts/download.py"


rule standardise:
    """Re-encode the videos of one shard to constant 30 fps mp4 (tsp.md 1.1)."""
    input:
        manifest=paths.Data.DOWNLOAD,
    output:
        paths.Data.STANDARDISE,
    log:
        "logs/standardise/{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/standardise/{dataset}-{subset}-{shard}.tsv"
    conda:
        "../envs/video.yaml"
    threads: 4
    resources:
        mem_mb=plan.memory(4000),
        runtime=plan.minutes(480),
    params:
        config=plan.standardise,
        download=plan.download,
        raw=paths.Data.RAW,
        store=paths.Data.VIDEOS,
        inputs=inputs,
        encoding=modules_alone("tsp.video.encode", "tsp.video.source", "tsp.video.sound"),
        code=code("standardise"),
    script:
        "../workflow/scripts/standardise.py"


rule probe:
    """Count the real frames of each video of one shard (tsp.md 1.2)."""
    input:
        manifest=paths.Data.STANDARDISE,
    output:
        paths.Data.PROBE,
    log:
        "logs/probe/{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/probe/{dataset}-{subset}-{shard}.tsv"
    conda:
        "../envs/video.yaml"
    threads: 2
    resources:
        mem_mb=plan.memory(1000),
        runtime=plan.minutes(60),
    params:
        store=paths.Data.VIDEOS,
        inputs=inputs,
        code=code("probe"),
    script:
        "../workflow/scripts/probe.py"


rule metadata:
    """Join the shards of a subset; more than `max_failed` unusable videos are an error that names them."""
    input:
        manifests=plan.probed_shards,
    output:
        metadata=paths.Data.METADATA,
        manifest=report(
            paths.Data.MANIFEST,
            category="Videos",
            labels={"data set": "{dataset}", "subset": "{subset}"},
        ),
    log:
        "logs/metadata/{dataset}-{subset}.log",
    benchmark:
        "logs/metadata/{dataset}-{subset}.tsv"
    localrule: True
    conda:
        "../envs/annotations.yaml"
    params:
        max_failed=plan.max_failed,
        inputs=inputs,
        code=code("metadata"),
    script:
        "../workflow/scripts/metadata.py"


rule segments:
    """Action and No action rows of a subset: the clip index (tsp.md 2)."""
    input:
        annotations=paths.Data.ANNOTATIONS,
        metadata=paths.Data.METADATA,
    output:
        paths.Data.SEGMENTS,
    log:
        "logs/segments/{dataset}-{subset}.log",
    benchmark:
        "logs/segments/{dataset}-{subset}.tsv"
    localrule: True
    conda:
        "../envs/annotations.yaml"
    params:
        official=plan.official_subset,
        background=plan.background,
        examine=plan.examine,
        inputs=inputs,
        code=code("segments"),
    script:
        "../workflow/scripts/segments.py"
