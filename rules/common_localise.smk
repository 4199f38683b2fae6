"""Inputs and parameters of the experiments: what they learn from, refine and are measured on."""


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
    return code_version("tsp.localise.pgcn.proposal_lists", SETTINGS.experiments[refined(wildcards).experiment].method)


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


def method_code(wildcards):
    return code_version(SETTINGS.experiments[wildcards.experiment].method)
