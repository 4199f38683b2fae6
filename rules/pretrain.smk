"""Pretraining runs: GVF and encoder weights.

Needs: results/<dataset>/{segments,videos}, features of the start weights for the GVF.
Gives: results/pretrain/<run>/{config.yaml, encoder.safetensors, encoder.json, log.jsonl} and
results/gvf/<dataset>/<start run>-<pool>.h5. State to resume from lies in the undeclared `work/`.
"""


rule resolve_run:
    """The complete configuration of a run, checked before any training."""
    output:
        "results/pretrain/{run}/config.yaml",
    log:
        "logs/resolve_run/{run}.log",
    benchmark:
        "logs/resolve_run/{run}.tsv"
    priority: 100
    localrule: True
    conda:
        "../envs/tsp.yaml"
    params:
        entry=run_params,
    script:
        "../workflow/scripts/resolve_run.py"


rule gvf:
    """Global video features: one pooled vector per video of the start weights' features (tsp.md 8)."""
    input:
        features=gvf_features,
    output:
        "results/gvf/{dataset}/{run}-{pool}.h5",
    log:
        "logs/gvf/{dataset}-{run}-{pool}.log",
    benchmark:
        "logs/gvf/{dataset}-{run}-{pool}.tsv"
    conda:
        "../envs/tsp.yaml"
    params:
        code=code_version("tsp.pretrain.gvf"),
    script:
        "../workflow/scripts/gvf.py"


rule fetch_weights:
    """Released weights by address and checksum, or a local copy (tsp.md 5.4, 9.3)."""
    output:
        "results/released/{run}.pth",
    log:
        "logs/fetch_weights/{run}.log",
    benchmark:
        "logs/fetch_weights/{run}.tsv"
    wildcard_constraints:
        run=one_of(name for name, run in SETTINGS.runs.items() if run.weights),
    conda:
        "../envs/tsp.yaml"
    params:
        source=weights_source,
    script:
        "../workflow/scripts/fetch_weights.py"


rule pretrain:
    """Train an encoder with the TSP or TAC heads (tsp.md 3-7), or convert released weights."""
    input:
        config="results/pretrain/{run}/config.yaml",
        train=subset_file("train", "results/{dataset}/segments/{subset}.csv"),
        valid=subset_file("valid", "results/{dataset}/segments/{subset}.csv"),
        gvf=run_gvf,
        start=run_start,
        weights=run_weights,
    output:
        weights="results/pretrain/{run}/encoder.safetensors",
        facts="results/pretrain/{run}/encoder.json",
        log="results/pretrain/{run}/log.jsonl",
    log:
        "logs/pretrain/{run}.log",
    benchmark:
        "logs/pretrain/{run}.tsv"
    conda:
        "../envs/tsp.yaml"
    threads: threads(8)
    resources:
        gpu=GPUS,
        mem_mb=memory(32000),
        runtime=minutes(2880),
    params:
        labels=run_labels,
        train_videos=subset_file("train", "results/{dataset}/videos/{subset}"),
        valid_videos=subset_file("valid", "results/{dataset}/videos/{subset}"),
        work="results/pretrain/{run}/work",
        code=pretrain_code,
    script:
        "../workflow/scripts/pretrain.py"
