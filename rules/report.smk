"""Tables, figures and the report page.

Needs: scores.json of every cell of a table, predictions, features, logs.
Gives: results/tables/<table>.{csv,md,html}, results/report/figures/<table>/, results/report/captions/<table>.html,
results/report/index.html.
"""


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
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        entry=table_entry,
        cells=cells_of,
        code=code_version("tsp.report.tables"),
    script:
        "../workflow/scripts/table.py"


rule figures:
    """The figures of a table's predictions, each as PNG, PDF and the CSV of its data."""
    input:
        scores=table_scores,
        predictions=figure_sources("predictions"),
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


rule feature_figures:
    """How a table's features were trained, and those of one video: PNG, PDF and the CSV of its data."""
    input:
        features=figure_sources("features"),
        logs=training_logs,
        annotations=figure_annotations,
    output:
        report(
            expand("results/report/figures/{{table}}/{figure}.png", figure=FEATURE_FIGURES),
            category="Figures",
            labels={"table": "{table}"},
            caption="../workflow/report/figures.rst",
        ),
    log:
        "logs/feature_figures/{table}.log",
    benchmark:
        "logs/feature_figures/{table}.tsv"
    conda:
        "../envs/report.yaml"
    params:
        entry=table_entry,
        subset=figure_subset,
        trained=trained_runs,
        folder="results/report/figures/{table}",
        code=code_version("tsp.report.build"),
    script:
        "../workflow/scripts/feature_figures.py"


rule overlay_video:
    """The first annotated video of a table's measured subset with actions and predictions running below it."""
    input:
        predictions=figure_sources("predictions"),
        annotations=figure_annotations,
        manifest=figure_manifest,
    output:
        "results/report/figures/{table}/overlay.mp4",
    log:
        "logs/overlay_video/{table}.log",
    benchmark:
        "logs/overlay_video/{table}.tsv"
    conda:
        "../envs/tsp.yaml"
    params:
        labels=row_labels,
        subset=figure_subset,
        videos=figure_videos,
        name=overlay_name,
        code=code_version("tsp.report.overlay_video"),
    script:
        "../workflow/scripts/overlay_video.py"


rule caption_examples:
    """What the first videos of a table of captions are said to show, beside their references."""
    input:
        table="results/tables/{table}.html",
        captions=example_captions,
        references=example_references,
        manifest=example_manifest,
    output:
        page="results/report/captions/{table}.html",
        figure="results/report/figures/{table}/events.png",
    log:
        "logs/caption_examples/{table}.log",
    benchmark:
        "logs/caption_examples/{table}.tsv"
    wildcard_constraints:
        table=one_of(captioned_tables),
    conda:
        "../envs/report.yaml"
    params:
        labels=row_labels,
        videos=example_videos,
        note=example_note,
        code=code_version("tsp.report.captions"),
    script:
        "../workflow/scripts/caption_examples.py"


rule page:
    """Everything on one self-contained page."""
    input:
        tables=[f"results/tables/{table}.html" for table in detection_tables],
        figures=expand("results/report/figures/{table}/{figure}.png", table=drawn_tables, figure=FIGURES),
        features=expand("results/report/figures/{table}/{figure}.png", table=featured_tables, figure=FEATURE_FIGURES),
        overlays=built_overlays,
        captions=shown_captions,
        manifests=built_manifests,
        annotations=built_annotations,
        encoders=built_encoders,
    output:
        "results/report/index.html",
    log:
        "logs/page/page.log",
    conda:
        "../envs/report.yaml"
    params:
        tables=detection_tables,
        drawn=drawn_tables,
        featured=featured_tables,
        titles={table: SETTINGS.tables[table].title for table in drawn_tables},
        manifests=built_manifest_names,
        miniature=SETTINGS.preset == "demo",
        repository=str(REPOSITORY),
        configuration=config,
        code=code_version("tsp.report.build"),
    script:
        "../workflow/scripts/page.py"
