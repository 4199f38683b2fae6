"""Raw videos and annotations -> standardised videos, metadata and ground-truth segments.

Needs: the annotation files of `datasets:` (the miniature renders its own) and the videos, local or on line.
Gives: results/<dataset>/{annotations.json, videos/<subset>/, metadata/<subset>.csv, manifest/<subset>.csv,
segments/<subset>.csv}.
Videos lie in undeclared stores, so that a failed job loses none; the declared outputs are manifests with one
row per video.
"""


rule render:
    """Render the videos of a generated data set (docs/miniature.md)."""
    output:
        "results/{generated}/origin/annotations.json",
    log:
        "logs/render/{generated}.log",
    benchmark:
        "logs/render/{generated}.tsv"
    wildcard_constraints:
        generated=one_of(name for name, d in SETTINGS.datasets.items() if d.generate is not None),
    conda:
        "../envs/tsp.yaml"
    threads: 2
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        config=generated,
        code=code_version("tsp.datasets.synthetic"),
    script:
        "../workflow/scripts/render.py"


rule annotations:
    """Raw annotations in the canonical form (docs/formats/annotations.md)."""
    input:
        raw=raw_annotations,
    output:
        "results/{dataset}/annotations.json",
    log:
        "logs/annotations/{dataset}.log",
    benchmark:
        "logs/annotations/{dataset}.tsv"
    localrule: True
    conda:
        "../envs/tsp.yaml"
    params:
        dataset=listing_params,
        code=code_version("tsp.datasets.listing"),
    script:
        "../workflow/scripts/annotations.py"


rule video_list:
    """Names and sources of one shard."""
    input:
        # More annotations concern the shards alone whose rows they change: `rows` tells.
        raw=listed_annotations,
    output:
        "results/{dataset}/list/{subset}.{shard}.csv",
    log:
        "logs/video_list/{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/video_list/{dataset}-{subset}-{shard}.tsv"
    localrule: True
    conda:
        "../envs/tsp.yaml"
    params:
        dataset=listing_params,
        official=official_subset,
        shard=shard_params,
        rows=shard_digest,
        code=code_version("tsp.datasets.listing"),
    script:
        "../workflow/scripts/video_list.py"


rule download:
    """Fetch the raw videos of one shard; a video that is gone is a row, not an error."""
    input:
        videos="results/{dataset}/list/{subset}.{shard}.csv",
    output:
        "results/{dataset}/download/{subset}.{shard}.csv",
    log:
        "logs/download/{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/download/{dataset}-{subset}-{shard}.tsv"
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(600),
    params:
        config=asdict(SETTINGS.download),
        store="results/{dataset}/raw/{subset}",
        code=code_version("tsp.video.download"),
    script:
        "../workflow/scripts/download.py"


rule standardise:
    """Re-encode the videos of one shard to constant 30 fps mp4 (tsp.md 1.1)."""
    input:
        manifest="results/{dataset}/download/{subset}.{shard}.csv",
    output:
        "results/{dataset}/standardise/{subset}.{shard}.csv",
    log:
        "logs/standardise/{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/standardise/{dataset}-{subset}-{shard}.tsv"
    conda:
        "../envs/tsp.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes(480),
    params:
        config=standardise_params,
        raw="results/{dataset}/raw/{subset}",
        store="results/{dataset}/videos/{subset}",
        code=code_version("tsp.video.standardise"),
    script:
        "../workflow/scripts/standardise.py"


rule probe:
    """Count the real frames of each video of one shard (tsp.md 1.2)."""
    input:
        manifest="results/{dataset}/standardise/{subset}.{shard}.csv",
    output:
        "results/{dataset}/probe/{subset}.{shard}.csv",
    log:
        "logs/probe/{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/probe/{dataset}-{subset}-{shard}.tsv"
    conda:
        "../envs/tsp.yaml"
    threads: 2
    resources:
        mem_mb=memory(1000),
        runtime=minutes(60),
    params:
        store="results/{dataset}/videos/{subset}",
        code=code_version("tsp.video.probe"),
    script:
        "../workflow/scripts/probe.py"


rule metadata:
    """Join the shards of a subset; more than `max_failed` unusable videos stop here, by name."""
    input:
        manifests=shards("results/{dataset}/probe/{subset}.{shard}.csv"),
    output:
        metadata="results/{dataset}/metadata/{subset}.csv",
        manifest=report(
            "results/{dataset}/manifest/{subset}.csv",
            category="Videos",
            labels={"data set": "{dataset}", "subset": "{subset}"},
        ),
    log:
        "logs/metadata/{dataset}-{subset}.log",
    benchmark:
        "logs/metadata/{dataset}-{subset}.tsv"
    localrule: True
    conda:
        "../envs/tsp.yaml"
    params:
        max_failed=max_failed,
        code=code_version("tsp.video.probe"),
    script:
        "../workflow/scripts/metadata.py"


rule segments:
    """Action and No action rows of a subset: the clip index (tsp.md 2)."""
    input:
        annotations="results/{dataset}/annotations.json",
        metadata="results/{dataset}/metadata/{subset}.csv",
    output:
        "results/{dataset}/segments/{subset}.csv",
    log:
        "logs/segments/{dataset}-{subset}.log",
    benchmark:
        "logs/segments/{dataset}-{subset}.tsv"
    localrule: True
    conda:
        "../envs/tsp.yaml"
    params:
        official=official_subset,
        background=background_params,
        code=code_version("tsp.datasets.ground_truth"),
    script:
        "../workflow/scripts/segments.py"
