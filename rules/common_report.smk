"""Cells and figures of tables; what the preset builds: its tables, and the files of its report."""

# Figures of every table (src/tsp/report/build.py says what they show).
FIGURES = ("seeds", "curves", "recall", "classes", "timeline", "false_positives", "sensitivity", "false_negatives")
# Figures of features, which several tables may share.
FEATURE_FIGURES = ("training", "similarity")


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


def built_cells():
    return list(dict.fromkeys(cell for table in SETTINGS.build.tables for cell in table_cells(table)))


def is_captioned(table):
    return any(column.experiment in SETTINGS.captions for column in SETTINGS.tables[table].columns)


captioned_tables = [table for table in SETTINGS.tables if is_captioned(table)]
detection_tables = [table for table in SETTINGS.build.tables if table not in captioned_tables]


def features_of(table):
    e = downstream(first_experiment(table))
    return (e.dataset, e.stride, *(row.run for row in SETTINGS.tables[table].rows))


def method_and_features_of(table):
    return (first_experiment(table), *features_of(table))


def first_of(key):
    """Of the built tables with the same key the first one, in order."""
    found = {}
    for table in detection_tables:
        found.setdefault(key(table), table)
    return list(found.values())


# Several tables may show the same features in the same method, or in another one: figures are drawn once.
drawn_tables = first_of(method_and_features_of)
featured_tables = first_of(features_of)
built_tables = [f"results/tables/{table}.md" for table in SETTINGS.build.tables]
built_features = [f"results/features/{name}.h5" for name in SETTINGS.build.features]
# (data set, subset) of all videos that the tables are measured on or learn from; released features need none.
built_subsets = sorted(
    {
        (e.dataset, subset)
        for experiment, run, _ in built_cells()
        if not SETTINGS.runs[run].features
        for e in [downstream(experiment)]
        for subset in (SETTINGS.datasets[e.dataset].train, SETTINGS.datasets[e.dataset].valid)
    }
)
built_manifests = [f"results/{name}/manifest/{subset}.csv" for name, subset in built_subsets]
built_manifest_names = [f"{name} {subset}" for name, subset in built_subsets]
built_annotations = [
    f"results/{d}/annotations.json" for d in sorted({downstream(e).dataset for e, _, _ in built_cells()})
]
built_encoders = [
    f"results/pretrain/{run}/encoder.safetensors"
    for run in dict.fromkeys(run for _, run, _ in built_cells())
    if not SETTINGS.runs[run].features
]
table_features = list(
    dict.fromkeys(
        f"results/features/{run}/stride{e.stride}/{e.dataset}-{subset}.h5"
        for experiment, run, _ in built_cells()
        for e in [downstream(experiment)]
        for subset in (SETTINGS.datasets[e.dataset].train, SETTINGS.datasets[e.dataset].valid)
    )
)
# Released features come without videos to draw on.
built_overlays = [
    f"results/report/figures/{table}/overlay.mp4"
    for table in drawn_tables
    if not any(SETTINGS.runs[row.run].features for row in SETTINGS.tables[table].rows)
]
