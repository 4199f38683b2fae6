"""Settings, wildcard patterns, path and target functions; no logic of the method."""

import re
from dataclasses import asdict

from tsp.config import ROOT as REPOSITORY
from tsp.config import check_settings, labels_of, resolve_captions, run_entry
from tsp.datasets.listing import shard_digests
from tsp.errors import TspError
from tsp.steps import code_version

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

# Figures of every table (src/tsp/report/build.py says what they show).
FIGURES = ("seeds", "curves", "recall", "classes", "timeline", "false_positives", "sensitivity", "false_negatives")
# Figures of features, which several tables may share.
FEATURE_FIGURES = ("training", "similarity")


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


def subset_features(name):
    """Features that an experiment trains on or is measured on."""

    def path(wildcards):
        e = SETTINGS.experiments[wildcards.experiment]
        d = SETTINGS.datasets[e.dataset]
        return f"results/features/{wildcards.run}/stride{e.stride}/{e.dataset}-{getattr(d, name)}.h5"

    return path


def experiment_params(wildcards):
    """Without what only says which jobs there are: another seed or sweep leaves the trainings as they are."""
    entry = config["experiments"][wildcards.experiment]
    return {key: value for key, value in entry.items() if key not in ("seeds", "sweep")}


localisers = [name for name, e in SETTINGS.experiments.items() if not e.refines]
refiners = [name for name, e in SETTINGS.experiments.items() if e.refines]
refiners_of_experiments = [name for name in refiners if SETTINGS.experiments[name].refines.experiment]
# Given lists are read where they lie; predictions in ActivityNet's format are turned into lists.
refiners_of_predictions = [
    name for name in refiners if (SETTINGS.experiments[name].refines.train or "").endswith(".json")
]


def refined(wildcards):
    return SETTINGS.experiments[wildcards.experiment].refines


def proposal_list(side):
    """List of the proposals that an experiment refines on one subset."""

    def path(wildcards):
        refines = refined(wildcards)
        given = getattr(refines, side)
        if given and given.endswith(".txt"):
            return given
        return f"results/experiments/{wildcards.experiment}/proposals/{refines.run or wildcards.run}/{side}.txt"

    return path


def source_file(pattern):
    """File of the experiment whose candidates are refined."""

    def path(wildcards):
        return f"results/experiments/{refined(wildcards).experiment}/{pattern}".format(
            run=wildcards.get("run"),
            seed=refined(wildcards).seed,
            raw="raw" if wildcards.get("side") == "valid" else "raw_train",
        )

    return path


def source_predictions(wildcards):
    return getattr(refined(wildcards), wildcards.side)


def source_metadata(wildcards):
    """Frames of the videos; none where only features were released."""
    d = SETTINGS.experiments[wildcards.experiment].dataset
    if run_of(wildcards).features:
        return []
    return f"results/{d}/metadata/{getattr(SETTINGS.datasets[d], wildcards.side)}.csv"


def source_code(wildcards):
    return code_version("tsp.localise.candidates", SETTINGS.experiments[refined(wildcards).experiment].method)


def source_settings(wildcards):
    return refined(wildcards).settings


def kept_proposals(wildcards):
    return getattr(refined(wildcards), f"{wildcards.side}_keep")


def experiment_sweep(wildcards):
    return SETTINGS.experiments[wildcards.experiment].sweep


def experiment_annotations(wildcards):
    return f"results/{SETTINGS.experiments[wildcards.experiment].dataset}/annotations.json"


def experiment_subsets(wildcards):
    """The annotation's own names of the two subsets."""
    d = SETTINGS.datasets[SETTINGS.experiments[wildcards.experiment].dataset]
    return {"train": d.subsets[d.train].official, "valid": d.subsets[d.valid].official}


def measured_subset(wildcards):
    return experiment_subsets(wildcards)["valid"]


def training_subset(wildcards):
    return experiment_subsets(wildcards)["train"]


def side_subset(wildcards):
    return experiment_subsets(wildcards)[wildcards.side]


def experiment_labels(wildcards):
    e = SETTINGS.experiments[wildcards.experiment]
    if e.labels is None:
        return []
    if e.labels not in SETTINGS.runs:
        return e.labels
    return f"results/labels/{e.labels}/stride{e.stride}/{e.dataset}-{SETTINGS.datasets[e.dataset].valid}.json"


def experiment_tious(wildcards):
    return SETTINGS.datasets[SETTINGS.experiments[wildcards.experiment].dataset].tious


def experiment_buckets(wildcards):
    return SETTINGS.datasets[SETTINGS.experiments[wildcards.experiment].dataset].buckets


def measured_metadata(wildcards):
    """How long the measured videos are, where the annotations do not say it; none where only features were released."""
    d = SETTINGS.experiments[wildcards.experiment].dataset
    return [] if run_of(wildcards).features else f"results/{d}/metadata/{SETTINGS.datasets[d].valid}.csv"


def downstream(name):
    return {**SETTINGS.experiments, **SETTINGS.captions}[name]


def table_cells(table):
    """(experiment, run, seed) of everything that a table shows."""
    entry = SETTINGS.tables[table]
    used = dict.fromkeys(c.experiment for c in entry.columns)
    return [(e, row.run, seed) for e in used for row in entry.rows for seed in downstream(e).seeds]


def cell_path(cell, name):
    experiment, run, seed = cell
    folder = "captions" if experiment in SETTINGS.captions else "experiments"
    return f"results/{folder}/{experiment}/{run}/seed{seed}/{name}"


def table_scores(wildcards):
    return [cell_path(cell, "scores.json") for cell in table_cells(wildcards.table)]


def method_code(wildcards):
    return code_version(SETTINGS.experiments[wildcards.experiment].method)


def first_experiment(table):
    return SETTINGS.tables[table].columns[0].experiment


def figure_sources(kind):
    """Files of a table's rows, in row order: the first seed's predictions, or features."""

    def paths(wildcards):
        name = first_experiment(wildcards.table)
        e = SETTINGS.experiments[name]
        subset = SETTINGS.datasets[e.dataset].valid
        pattern = {
            "predictions": f"results/experiments/{name}/{{run}}/seed{e.seeds[0]}/predictions.json",
            "features": f"results/features/{{run}}/stride{e.stride}/{e.dataset}-{subset}.h5",
        }[kind]
        return [pattern.format(run=row.run) for row in SETTINGS.tables[wildcards.table].rows]

    return paths


def trained_runs(wildcards):
    return [row.run for row in SETTINGS.tables[wildcards.table].rows if SETTINGS.runs[row.run].dataset]


def training_logs(wildcards):
    return [f"results/pretrain/{run}/log.jsonl" for run in trained_runs(wildcards)]


def figure_annotations(wildcards):
    return f"results/{SETTINGS.experiments[first_experiment(wildcards.table)].dataset}/annotations.json"


def figure_subset(wildcards):
    d = SETTINGS.datasets[SETTINGS.experiments[first_experiment(wildcards.table)].dataset]
    return d.subsets[d.valid].official


def figure_videos(wildcards, pattern="results/{dataset}/videos/{subset}"):
    d = SETTINGS.experiments[first_experiment(wildcards.table)].dataset
    return pattern.format(dataset=d, subset=SETTINGS.datasets[d].valid)


def figure_manifest(wildcards):
    return figure_videos(wildcards, "results/{dataset}/manifest/{subset}.csv")


def row_labels(wildcards):
    return [row.label for row in SETTINGS.tables[wildcards.table].rows]


def overlay_name(wildcards):
    return SETTINGS.tables[wildcards.table].overlay


def table_entry(wildcards):
    return config["tables"][wildcards.table]


def cells_of(wildcards):
    return table_cells(wildcards.table)
