"""What the preset builds: its tables, and the files of its report."""


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
