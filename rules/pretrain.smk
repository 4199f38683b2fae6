"""Pretraining runs: GVF and encoder weights.

Needs: results/<dataset>/{segments,videos}, features of the start weights for the GVF.
Gives: results/pretrain/<run>/{config.yaml, encoder.safetensors, encoder.json, log.jsonl} and
results/gvf/<dataset>/<start run>-<pool>.h5. The state to resume from is in the undeclared `work/`.
"""


rule resolve_run:
    """The complete configuration of a run, checked before any training."""
    output:
        paths.Run.CONFIG,
    log:
        "logs/resolve_run/{run}.log",
    benchmark:
        "logs/resolve_run/{run}.tsv"
    priority: 100
    localrule: True
    conda:
        "../envs/pretrain.yaml"
    params:
        entry=plan.run_settings,
        code=code("resolve_run", options=True),
    script:
        "../workflow/scripts/resolve_run.py"


rule gvf:
    """Global video features: one pooled vector per video of the start weights' features (tsp.md 8)."""
    input:
        features=plan.gvf_features,
    output:
        paths.Gvf.FILE,
    log:
        "logs/gvf/{dataset}-{run}-{pool}.log",
    benchmark:
        "logs/gvf/{dataset}-{run}-{pool}.tsv"
    conda:
        "../envs/pretrain.yaml"
    params:
        inputs=inputs,
        code=code("gvf"),
    script:
        "../workflow/scripts/gvf.py"


rule fetch_weights:
    """Released weights by address and checksum, or a local copy (tsp.md 5.4, 9.3)."""
    input:
        given=plan.given_weights,
    output:
        paths.Released.ENCODER,
    log:
        "logs/fetch_weights/{run}.log",
    benchmark:
        "logs/fetch_weights/{run}.tsv"
    wildcard_constraints:
        run=one_of(plan.released),
    conda:
        "../envs/pretrain.yaml"
    params:
        source=plan.released_weights,
        inputs=inputs,
        code=code("fetch_weights"),
    script:
        "../workflow/scripts/fetch_weights.py"


rule pretrain:
    """Train an encoder with the TSP or TAC heads (tsp.md 3-7), or convert released weights."""
    input:
        config=paths.Run.CONFIG,
        train=plan.train_segments,
        valid=plan.valid_segments,
        train_manifest=plan.train_manifest,
        valid_manifest=plan.valid_manifest,
        gvf=plan.run_gvf,
        start=plan.run_start,
        weights=plan.run_weights,
    output:
        weights=paths.Run.ENCODER,
        facts=paths.Run.FACTS,
        log=paths.Run.LOG,
    log:
        "logs/pretrain/{run}.log",
    benchmark:
        "logs/pretrain/{run}.tsv"
    conda:
        "../envs/pretrain.yaml"
    threads: plan.threads(8)
    resources:
        gpu=plan.gpus,
        mem_mb=plan.memory(32000),
        runtime=plan.minutes(2880),
    params:
        labels=plan.run_labels,
        train_videos=plan.train_videos,
        valid_videos=plan.valid_videos,
        work=paths.Run.WORK,
        settings=plan.run_settings,
        written=plan.written_run,
        track_code=plan.track_code,
        inputs=inputs,
        code=plan.code.pretrain,
    script:
        "../workflow/scripts/pretrain.py"
