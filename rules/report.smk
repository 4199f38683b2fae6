"""Tables, figures and the report page.

Needs: scores.json of every cell of a table, predictions, features, logs.
Gives: results/tables/<table>.{csv,md,html}, results/report/figures/<table>/, results/report/index.html.
"""

FIGURES = ("seeds", "curves", "classes", "training", "timeline", "similarity")


def first_experiment(table):
    return SETTINGS.tables[table].columns[0].experiment


def figure_sources(kind):
    """Files of a table's rows, in row order: the first seed's predictions, features, or pretraining logs."""

    def paths(wildcards):
        name = first_experiment(wildcards.table)
        e = SETTINGS.experiments[name]
        subset = SETTINGS.datasets[e.dataset].valid
        pattern = {
            "predictions": f"results/experiments/{name}/{{run}}/seed{e.seeds[0]}/predictions.json",
            "features": f"results/features/{{run}}/stride{e.stride}/{e.dataset}-{subset}.h5",
            "logs": "results/pretrain/{run}/log.jsonl",
        }[kind]
        return [pattern.format(run=row.run) for row in SETTINGS.tables[wildcards.table].rows]

    return paths


def figure_annotations(wildcards):
    return f"results/{SETTINGS.experiments[first_experiment(wildcards.table)].dataset}/annotations.json"


def figure_subset(wildcards):
    d = SETTINGS.datasets[SETTINGS.experiments[first_experiment(wildcards.table)].dataset]
    return d.subsets[d.valid].official


def table_entry(wildcards):
    return config["tables"][wildcards.table]


def cells_of(wildcards):
    return table_cells(wildcards.table)


rule table:
    """Ours, published, difference, seeds and spread; a dash where nothing was run."""
    input:
        scores=table_scores,
    output:
        csv="results/tables/{table}.csv",
        md="results/tables/{table}.md",
        html=report(
            "results/tables/{table}.html",
            category="Tables",
            labels={"table": "{table}"},
            caption="../workflow/report/table.rst",
        ),
    log:
        "logs/table/{table}.log",
    benchmark:
        "logs/table/{table}.tsv"
    conda:
        "../envs/report.yaml"
    params:
        entry=table_entry,
        cells=cells_of,
        code=code_version("tsp.report.tables"),
    script:
        "../workflow/scripts/table.py"


rule figures:
    """The figures of a table, each as PNG, PDF and the CSV of its data."""
    input:
        scores=table_scores,
        predictions=figure_sources("predictions"),
        features=figure_sources("features"),
        logs=figure_sources("logs"),
        annotations=figure_annotations,
    output:
        report(
            expand("results/report/figures/{{table}}/{figure}.png", figure=FIGURES),
            category="Figures",
            labels={"table": "{table}"},
            caption="../workflow/report/figures.rst",
        ),
    log:
        "logs/figures/{table}.log",
    benchmark:
        "logs/figures/{table}.tsv"
    conda:
        "../envs/report.yaml"
    params:
        entry=table_entry,
        cells=cells_of,
        subset=figure_subset,
        folder="results/report/figures/{table}",
        code=code_version("tsp.report.build"),
    script:
        "../workflow/scripts/figures.py"


rule page:
    """Everything on one self-contained page."""
    input:
        tables=[f"results/tables/{table}.html" for table in SETTINGS.build.tables],
        figures=expand("results/report/figures/{table}/{figure}.png", table=SETTINGS.build.tables, figure=FIGURES),
        manifests=built_manifests,
    output:
        "results/report/index.html",
    log:
        "logs/page/page.log",
    conda:
        "../envs/report.yaml"
    params:
        tables=SETTINGS.build.tables,
        manifests=built_manifest_names,
        miniature=SETTINGS.preset == "demo",
        repository=str(REPOSITORY),
        configuration=config,
        code=code_version("tsp.report.build"),
    script:
        "../workflow/scripts/page.py"
