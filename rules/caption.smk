"""Dense captioning (BMT) on frozen features: sound features, captioner, proposals, captions, scores.

Needs: results/features, results/<dataset>/{metadata,videos}, ActivityNet Captions files.
Gives: results/sound/<kind>/<dataset>-<subset>.h5, results/captions/<captioning>/<run>/seed<k>/{captioner.safetensors,
proposals.safetensors, segments.json, captions.json, annotated-<n>.json, scores.json}.
"""


rule fetch_sound_weights:
    """Released VGGish by address and checksum, or a local copy (bmt.md 2.3)."""
    output:
        "results/released/vggish.pth",
    log:
        "logs/fetch_sound_weights/vggish.log",
    benchmark:
        "logs/fetch_sound_weights/vggish.tsv"
    conda:
        "../envs/captions.yaml"
    params:
        source=released(SETTINGS.sound.weights),
    script:
        "../workflow/scripts/fetch_weights.py"


rule fetch_word_vectors:
    """Word vectors by address and checksum, or a local copy (bmt.md 1.3)."""
    output:
        "results/released/{captioning}.vectors",
    log:
        "logs/fetch_word_vectors/{captioning}.log",
    benchmark:
        "logs/fetch_word_vectors/{captioning}.tsv"
    conda:
        "../envs/captions.yaml"
    params:
        source=vectors_source,
    script:
        "../workflow/scripts/fetch_weights.py"


rule caption_references:
    """Captions of a generated data set in the form of ActivityNet Captions."""
    input:
        annotations="results/{dataset}/annotations.json",
    output:
        "results/{dataset}/captions/{subset}.json",
    log:
        "logs/caption_references/{dataset}-{subset}.log",
    benchmark:
        "logs/caption_references/{dataset}-{subset}.tsv"
    wildcard_constraints:
        dataset=one_of(name for name, d in SETTINGS.datasets.items() if d.generate is not None),
    conda:
        "../envs/captions.yaml"
    params:
        official=official_subset,
        code=code_version("tsp.caption.text"),
    script:
        "../workflow/scripts/caption_references.py"


rule sound_features:
    """Sound features of one shard of one subset; a video without sound is told, not an error (bmt.md 2.3)."""
    input:
        metadata="results/{dataset}/metadata/{subset}.csv",
        weights=sound_weights,
    output:
        temp("results/sound/{sound}/{dataset}-{subset}.{shard}.h5"),
    log:
        "logs/sound_features/{sound}-{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/sound_features/{sound}-{dataset}-{subset}-{shard}.tsv"
    conda:
        "../envs/captions.yaml"
    threads: threads(2)
    resources:
        gpu=sound_gpus,
        mem_mb=memory(8000),
        runtime=minutes(120),
    params:
        shard=shard_params,
        videos="results/{dataset}/videos/{subset}",
        code=code_version("tsp.caption.audio"),
    script:
        "../workflow/scripts/sound_features.py"


rule merge_sound:
    """The sound features of a subset."""
    input:
        shards=shards("results/sound/{sound}/{dataset}-{subset}.{shard}.h5"),
    output:
        "results/sound/{sound}/{dataset}-{subset}.h5",
    log:
        "logs/merge_sound/{sound}-{dataset}-{subset}.log",
    benchmark:
        "logs/merge_sound/{sound}-{dataset}-{subset}.tsv"
    conda:
        "../envs/captions.yaml"
    params:
        code=code_version("tsp.io.features"),
    script:
        "../workflow/scripts/merge_features.py"


rule resolve_captions:
    """The complete configuration of both networks, checked before any training."""
    output:
        "results/captions/{captioning}/config.yaml",
    log:
        "logs/resolve_captions/{captioning}.log",
    benchmark:
        "logs/resolve_captions/{captioning}.tsv"
    priority: 100
    localrule: True
    conda:
        "../envs/captions.yaml"
    params:
        entry=captioning_params,
    script:
        "../workflow/scripts/resolve_captions.py"


rule train_captioner:
    """Train the captioner on annotated segments (bmt.md 3)."""
    input:
        **CAPTION_SOURCES,
        vectors=word_vectors,
    output:
        weights="results/captions/{captioning}/{run}/seed{seed}/captioner.safetensors",
        facts="results/captions/{captioning}/{run}/seed{seed}/captioner.json",
        log="results/captions/{captioning}/{run}/seed{seed}/captioner.jsonl",
    log:
        "logs/train_captioner/{captioning}-{run}-{seed}.log",
    benchmark:
        "logs/train_captioner/{captioning}-{run}-{seed}.tsv"
    conda:
        "../envs/captions.yaml"
    threads: threads(4)
    resources:
        gpu=GPUS,
        mem_mb=memory(24000),
        runtime=minutes(2880),
    params:
        work="results/captions/{captioning}/{run}/seed{seed}/work-captioner",
        code=code_version("tsp.caption.train"),
    script:
        "../workflow/scripts/train_captioner.py"


rule train_proposals:
    """Train the proposal generator on the captioner's encoder (bmt.md 4)."""
    input:
        **CAPTION_SOURCES,
        captioner="results/captions/{captioning}/{run}/seed{seed}/captioner.safetensors",
    output:
        weights="results/captions/{captioning}/{run}/seed{seed}/proposals.safetensors",
        log="results/captions/{captioning}/{run}/seed{seed}/proposals.jsonl",
    log:
        "logs/train_proposals/{captioning}-{run}-{seed}.log",
    benchmark:
        "logs/train_proposals/{captioning}-{run}-{seed}.tsv"
    conda:
        "../envs/captions.yaml"
    threads: threads(4)
    resources:
        gpu=GPUS,
        mem_mb=memory(32000),
        runtime=minutes(2880),
    params:
        work="results/captions/{captioning}/{run}/seed{seed}/work-proposals",
        code=code_version("tsp.caption.train"),
    script:
        "../workflow/scripts/train_proposals.py"


rule propose:
    """Segments worth a sentence, at most 100 a video."""
    input:
        **CAPTION_STREAMS,
        weights="results/captions/{captioning}/{run}/seed{seed}/proposals.safetensors",
    output:
        "results/captions/{captioning}/{run}/seed{seed}/segments.json",
    log:
        "logs/propose/{captioning}-{run}-{seed}.log",
    benchmark:
        "logs/propose/{captioning}-{run}-{seed}.tsv"
    conda:
        "../envs/captions.yaml"
    threads: threads(4)
    resources:
        gpu=GPUS,
        mem_mb=memory(32000),
        runtime=minutes(120),
    params:
        code=code_version("tsp.caption.infer"),
    script:
        "../workflow/scripts/propose.py"


rule caption_proposals:
    """A sentence for each proposal, in the submission format (docs/formats/captions.md)."""
    input:
        **CAPTION_STREAMS,
        weights="results/captions/{captioning}/{run}/seed{seed}/captioner.safetensors",
        proposals="results/captions/{captioning}/{run}/seed{seed}/segments.json",
    output:
        "results/captions/{captioning}/{run}/seed{seed}/captions.json",
    log:
        "logs/caption_proposals/{captioning}-{run}-{seed}.log",
    benchmark:
        "logs/caption_proposals/{captioning}-{run}-{seed}.tsv"
    conda:
        "../envs/captions.yaml"
    threads: threads(4)
    resources:
        gpu=GPUS,
        mem_mb=memory(24000),
        runtime=minutes(480),
    params:
        code=code_version("tsp.caption.infer"),
    script:
        "../workflow/scripts/caption_proposals.py"


rule caption_annotated:
    """A sentence for each annotated segment of one reference file."""
    input:
        **CAPTION_STREAMS,
        weights="results/captions/{captioning}/{run}/seed{seed}/captioner.safetensors",
    output:
        "results/captions/{captioning}/{run}/seed{seed}/annotated-{reference}.json",
    log:
        "logs/caption_annotated/{captioning}-{run}-{seed}-{reference}.log",
    benchmark:
        "logs/caption_annotated/{captioning}-{run}-{seed}-{reference}.tsv"
    conda:
        "../envs/captions.yaml"
    threads: threads(4)
    resources:
        gpu=GPUS,
        mem_mb=memory(24000),
        runtime=minutes(120),
    params:
        code=code_version("tsp.caption.infer"),
    script:
        "../workflow/scripts/caption_annotated.py"


rule evaluate_captions:
    """BLEU, METEOR, ROUGE-L, CIDEr; precision and recall of the segments (bmt.md 5). Needs Java."""
    input:
        captions="results/captions/{captioning}/{run}/seed{seed}/captions.json",
        annotated=annotated_captions,
        references=caption_references,
        available=available_videos,
    output:
        "results/captions/{captioning}/{run}/seed{seed}/scores.json",
    log:
        "logs/evaluate_captions/{captioning}-{run}-{seed}.log",
    benchmark:
        "logs/evaluate_captions/{captioning}-{run}-{seed}.tsv"
    conda:
        "../envs/captions.yaml"
    threads: threads(2)
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        code=code_version("tsp.caption.score"),
    script:
        "../workflow/scripts/evaluate_captions.py"
