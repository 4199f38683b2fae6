"""Dense captioning (BMT) on frozen features: sound features, captioner, proposals, captions, scores.

Needs: results/features, results/<dataset>/{metadata,videos}, ActivityNet Captions files.
Gives: results/sound/<kind>/<dataset>-<subset>.h5, results/captions/<captioning>/<run>/seed<k>/{captioner.safetensors,
proposals.safetensors, segments.json, captions.json, annotated-<n>.json, scores.json}.
"""


rule fetch_sound_weights:
    """Released VGGish by address and checksum, or a local copy (bmt.md 2.3)."""
    input:
        given=plan.captions.given_sound,
    output:
        paths.Released.VGGISH,
    log:
        "logs/fetch_sound_weights/vggish.log",
    benchmark:
        "logs/fetch_sound_weights/vggish.tsv"
    conda:
        "../envs/caption.yaml"
    params:
        source=plan.captions.sound_source,
        inputs=inputs,
        code=code("fetch_weights"),
    script:
        "../workflow/scripts/fetch_weights.py"


rule fetch_word_vectors:
    """Word vectors by address and checksum, or a local copy (bmt.md 1.3)."""
    input:
        given=plan.captions.given_vectors,
    output:
        paths.Released.VECTORS,
    log:
        "logs/fetch_word_vectors/{captioning}.log",
    benchmark:
        "logs/fetch_word_vectors/{captioning}.tsv"
    conda:
        "../envs/caption.yaml"
    params:
        source=plan.captions.vectors_source,
        inputs=inputs,
        code=code("fetch_weights"),
    script:
        "../workflow/scripts/fetch_weights.py"


rule caption_references:
    """Captions of a generated data set in the form of ActivityNet Captions."""
    input:
        annotations=paths.Data.ANNOTATIONS,
    output:
        paths.Data.CAPTIONS,
    log:
        "logs/caption_references/{dataset}-{subset}.log",
    benchmark:
        "logs/caption_references/{dataset}-{subset}.tsv"
    wildcard_constraints:
        dataset=one_of(plan.generated),
    conda:
        "../envs/annotations.yaml"
    params:
        official=plan.official_subset,
        inputs=inputs,
        code=code("caption_references"),
    script:
        "../workflow/scripts/caption_references.py"


rule sound_features:
    """Sound features of one shard of one subset; a video without sound is recorded, not an error (bmt.md 2.3)."""
    input:
        metadata=paths.Data.METADATA,
        manifest=paths.Data.MANIFEST,
        weights=plan.captions.sound_weights,
    output:
        temp(paths.Sound.SHARD),
    log:
        "logs/sound_features/{sound}-{dataset}-{subset}-{shard}.log",
    benchmark:
        "logs/sound_features/{sound}-{dataset}-{subset}-{shard}.tsv"
    conda:
        "../envs/caption.yaml"
    threads: plan.threads(2)
    resources:
        gpu=plan.captions.sound_gpus,
        mem_mb=plan.memory(8000),
        runtime=plan.minutes(120),
    params:
        shard=plan.shard,
        videos=paths.Data.VIDEOS,
        inputs=inputs,
        code=code("sound_features"),
    script:
        "../workflow/scripts/sound_features.py"


rule merge_sound:
    """The sound features of a subset."""
    input:
        shards=plan.sound_shards,
    output:
        paths.Sound.FILE,
    log:
        "logs/merge_sound/{sound}-{dataset}-{subset}.log",
    benchmark:
        "logs/merge_sound/{sound}-{dataset}-{subset}.tsv"
    conda:
        "../envs/caption.yaml"
    params:
        inputs=inputs,
        code=code("merge_features"),
    script:
        "../workflow/scripts/merge_features.py"


rule resolve_captions:
    """The complete configuration of both networks, checked before any training."""
    output:
        paths.Captioning.CONFIG,
    log:
        "logs/resolve_captions/{captioning}.log",
    benchmark:
        "logs/resolve_captions/{captioning}.tsv"
    priority: 100
    localrule: True
    conda:
        "../envs/caption.yaml"
    params:
        entry=plan.captions.entry,
        code=code("resolve_captions", options=True),
    script:
        "../workflow/scripts/resolve_captions.py"


rule train_captioner:
    """Train the captioner on annotated segments (bmt.md 3)."""
    input:
        **plan.captions.sources,
        vectors=plan.captions.vectors,
    output:
        weights=paths.Captions.CAPTIONER,
        facts=paths.Captions.CAPTIONER_FACTS,
        log=paths.Captions.CAPTIONER_LOG,
    log:
        "logs/train_captioner/{captioning}-{run}-{seed}.log",
    benchmark:
        "logs/train_captioner/{captioning}-{run}-{seed}.tsv"
    conda:
        "../envs/caption.yaml"
    threads: plan.threads(4)
    resources:
        gpu=plan.gpus,
        mem_mb=plan.memory(24000),
        runtime=plan.minutes(2880),
    params:
        work=paths.Captions.CAPTIONER_WORK,
        inputs=inputs,
        code=code("train_captioner"),
    script:
        "../workflow/scripts/train_captioner.py"


rule train_proposals:
    """Train the proposal generator on the captioner's encoder (bmt.md 4)."""
    input:
        **plan.captions.sources,
        captioner=paths.Captions.CAPTIONER,
    output:
        weights=paths.Captions.PROPOSALS,
        facts=paths.Captions.PROPOSALS_FACTS,
        log=paths.Captions.PROPOSALS_LOG,
    log:
        "logs/train_proposals/{captioning}-{run}-{seed}.log",
    benchmark:
        "logs/train_proposals/{captioning}-{run}-{seed}.tsv"
    conda:
        "../envs/caption.yaml"
    threads: plan.threads(4)
    resources:
        gpu=plan.gpus,
        mem_mb=plan.memory(32000),
        runtime=plan.minutes(2880),
    params:
        work=paths.Captions.PROPOSALS_WORK,
        inputs=inputs,
        code=code("train_proposals"),
    script:
        "../workflow/scripts/train_proposals.py"


rule propose:
    """Segments worth a sentence, at most 100 a video."""
    input:
        **plan.captions.measured,
        weights=paths.Captions.PROPOSALS,
    output:
        paths.Captions.SEGMENTS,
    log:
        "logs/propose/{captioning}-{run}-{seed}.log",
    benchmark:
        "logs/propose/{captioning}-{run}-{seed}.tsv"
    conda:
        "../envs/caption.yaml"
    threads: plan.threads(4)
    resources:
        gpu=plan.gpus,
        mem_mb=plan.memory(32000),
        runtime=plan.minutes(120),
    params:
        inputs=inputs,
        code=code("propose"),
    script:
        "../workflow/scripts/propose.py"


rule caption_proposals:
    """A sentence for each proposal, in the submission format (docs/formats/captions.md)."""
    input:
        **plan.captions.measured,
        weights=paths.Captions.CAPTIONER,
        proposals=paths.Captions.SEGMENTS,
    output:
        paths.Captions.CAPTIONS,
    log:
        "logs/caption_proposals/{captioning}-{run}-{seed}.log",
    benchmark:
        "logs/caption_proposals/{captioning}-{run}-{seed}.tsv"
    conda:
        "../envs/caption.yaml"
    threads: plan.threads(4)
    resources:
        gpu=plan.gpus,
        mem_mb=plan.memory(24000),
        runtime=plan.minutes(480),
    params:
        inputs=inputs,
        code=code("caption_proposals"),
    script:
        "../workflow/scripts/caption_proposals.py"


rule caption_annotated:
    """A sentence for each annotated segment of one reference file."""
    input:
        **plan.captions.measured,
        weights=paths.Captions.CAPTIONER,
    output:
        paths.Captions.ANNOTATED,
    log:
        "logs/caption_annotated/{captioning}-{run}-{seed}-{reference}.log",
    benchmark:
        "logs/caption_annotated/{captioning}-{run}-{seed}-{reference}.tsv"
    conda:
        "../envs/caption.yaml"
    threads: plan.threads(4)
    resources:
        gpu=plan.gpus,
        mem_mb=plan.memory(24000),
        runtime=plan.minutes(120),
    params:
        inputs=inputs,
        code=code("caption_annotated"),
    script:
        "../workflow/scripts/caption_annotated.py"


rule evaluate_captions:
    """BLEU, METEOR, ROUGE-L, CIDEr; precision and recall of the segments (bmt.md 5). Needs Java."""
    input:
        captions=paths.Captions.CAPTIONS,
        annotated=plan.captions.annotated,
        references=plan.captions.references,
        available=plan.captions.available,
    output:
        paths.Captions.SCORES,
    log:
        "logs/evaluate_captions/{captioning}-{run}-{seed}.log",
    benchmark:
        "logs/evaluate_captions/{captioning}-{run}-{seed}.tsv"
    conda:
        "../envs/evaluate.yaml"
    threads: plan.threads(2)
    resources:
        mem_mb=plan.memory(4000),
        runtime=plan.minutes(60),
    params:
        inputs=inputs,
        code=code("evaluate_captions"),
    script:
        "../workflow/scripts/evaluate_captions.py"
