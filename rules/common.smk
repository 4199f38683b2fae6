"""Settings, wildcard patterns, path and target functions; no logic of the method."""

import re
from dataclasses import asdict

from tsp.config.load import ROOT as REPOSITORY
from tsp.config.check import check_settings
from tsp.config.load import labels_of, run_entry
from tsp.config.resolved import resolve_captions
from tsp.datasets.listing import shard_digests
from tsp.errors import TspError
from tsp.plan.identity import code_version

CONFIG_FILES = [ROOT / "config" / name for name in ("config.yaml", "runs.yaml", "experiments.yaml", "tables.yaml")]
CONFIG_FILES += [ROOT / "config/demo.yaml"] if config.get("preset") == "demo" else []
CONFIG_FILES += [Path(path) for path in workflow.configfiles if Path(path) not in CONFIG_FILES]

try:
    SETTINGS = check_settings(config, CONFIG_FILES)
except TspError as error:
    raise WorkflowError(str(error)) from None


def check_writable(folder):
    """Snakemake would end with a bare OSError at the first output."""
    if Path(folder).exists() and not os.access(folder, os.W_OK):
        raise WorkflowError(f"error: {Path(folder).resolve()}: cannot be written; mend its rights or its mount")


def one_of(names):
    return "|".join(re.escape(name) for name in names) or "none"


# Frames between the clips whose features are pooled; the paper's extraction default (tsp.md 8).
GVF_STRIDE = 16

subsets = {s for d in SETTINGS.datasets.values() for s in d.subsets}
subsets |= {name.rpartition("-")[2] for run in SETTINGS.runs.values() for name in run.features}


wildcard_constraints:
    dataset=one_of(SETTINGS.datasets),
    subset=one_of(subsets),
    run=one_of(SETTINGS.runs),
    experiment=one_of(SETTINGS.experiments),
    table=one_of(SETTINGS.tables),
    shard=r"\d+",
    stride=r"\d+",
    seed=r"\d+",
    pool="max|avg",
    side="train|valid",


def threads(paper):
    """The miniature's jobs take one thread each: they run side by side, with the same bits on any machine."""
    return 1 if SETTINGS.preset == "demo" else paper


def memory(paper):
    """Megabytes, as often as the job is tried."""
    first = 2000 if SETTINGS.preset == "demo" else paper
    return lambda wildcards, attempt: first * attempt


def minutes(paper):
    """Minutes, as often as the job is tried; an interrupted training goes on where it was."""
    return lambda wildcards, attempt: paper * attempt


# The profile's `resources: gpu` limits how many of these run at once; the miniature needs no GPU.
GPUS = 0 if SETTINGS.preset == "demo" else 1


def dataset(wildcards):
    return SETTINGS.datasets[wildcards.dataset]


def standardise_params(wildcards):
    return dataset(wildcards).standardise


def max_failed(wildcards):
    return dataset(wildcards).max_failed


def background_params(wildcards):
    return asdict(dataset(wildcards).background)


def listing_params(wildcards):
    d = dataset(wildcards)
    return {"reader": d.reader, "annotations": d.annotations, "videos": d.videos, "url": d.url}


def official_subset(wildcards):
    return dataset(wildcards).subsets[wildcards.subset].official


def generated(wildcards):
    return SETTINGS.datasets[wildcards.generated].generate


def shards_of(dataset, subset):
    return SETTINGS.datasets[dataset].subsets[subset].shards


def shard_params(wildcards):
    """Of the number of shards only whether this is the last one, so that more shards leave the others as they are."""
    shard = int(wildcards.shard)
    last = shard == shards_of(wildcards.dataset, wildcards.subset) - 1
    return {
        "shard": shard,
        "shards": shard + (1 if last else 2),
        "shard_size": dataset(wildcards).shard_size,
    }


def listed_annotations(wildcards):
    """The raw annotations, whose age counts only where they are generated: else `shard_digest` tells more."""
    paths = raw_annotations(wildcards)
    return paths if dataset(wildcards).generate is not None else [ancient(path) for path in paths]


def shard_digest(wildcards):
    """What the raw annotations say of the shard's videos; it changes when, and only when, its rows do."""
    d = dataset(wildcards)
    if d.generate is not None:
        return "generated"
    digests = shard_digests(
        d.reader,
        tuple(d.annotations),
        official_subset(wildcards),
        shards_of(wildcards.dataset, wildcards.subset),
        d.shard_size,
    )
    return digests[int(wildcards.shard)] if digests else "unknown"


def shards(pattern):
    """Input function: the paths of all shards of the subset named by the wildcards."""

    def paths(wildcards):
        numbers = range(shards_of(wildcards.dataset, wildcards.subset))
        return [pattern.format(**wildcards, shard=number) for number in numbers]

    return paths


def raw_annotations(wildcards):
    return dataset(wildcards).annotations


def run_params(wildcards):
    """What the user wrote of the run and of its encoder; a new default elsewhere reruns nothing."""
    entry = run_entry(config, wildcards.run)
    return {"run": entry, "encoder": config["encoders"][entry["encoder"]]}


def run_of(wildcards):
    return SETTINGS.runs[wildcards.run]


def subset_file(name, pattern):
    """Path of the run's training or validation subset; none for a run without data set."""

    def paths(wildcards):
        run = run_of(wildcards)
        if run.dataset is None:
            return []
        d = SETTINGS.datasets[run.dataset]
        return pattern.format(dataset=run.dataset, subset=getattr(d, name))

    return paths


def run_gvf(wildcards):
    run = run_of(wildcards)
    return f"results/gvf/{run.dataset}/{run.start}-{run.gvf}.h5" if run.gvf else []


def run_start(wildcards):
    run = run_of(wildcards)
    return f"results/pretrain/{run.start}/encoder.safetensors" if run.start else []


def run_weights(wildcards):
    run = run_of(wildcards)
    return f"results/released/{wildcards.run}.pth" if run.weights else []


def released(file):
    return {"url": file.url, "path": file.path, "digest": file.sha256}


def weights_source(wildcards):
    return released(run_of(wildcards).weights)


def features_source(wildcards):
    return released(run_of(wildcards).features["stride{stride}/{dataset}-{subset}".format(**wildcards)])


def run_labels(wildcards):
    run = run_of(wildcards)
    named = run.dataset or run.classes
    return labels_of(SETTINGS.datasets[named]) if named else []


def pretrain_code(wildcards):
    """Days of training are repeated for an edit of the library only where the run asks for it."""
    return code_version("tsp.pretrain.train") if run_of(wildcards).track_code == "all" else "untracked"


def gvf_features(wildcards):
    d = dataset(wildcards)
    return [
        f"results/features/{wildcards.run}/stride{GVF_STRIDE}/{wildcards.dataset}-{subset}.h5"
        for subset in dict.fromkeys((d.train, d.valid))
    ]
