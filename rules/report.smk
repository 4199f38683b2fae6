"""Tables, figures and the report page.

Needs: scores.json of every cell of a table, predictions, features, logs.
Gives: results/tables/<table>.{csv,md,html}, results/report/figures/<table>/, results/report/captions/<table>.html,
results/report/index.html.
"""


rule table:
    """Ours, published, difference, seeds and spread; a dash where nothing was run."""
    input:
        scores=plan.report.scores,
        encoders=plan.report.encoder_facts,
    output:
        csv=paths.Table.CSV,
        md=paths.Table.MD,
        html=report(
            paths.Table.HTML,
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
        entry=plan.report.entry,
        cells=plan.report.cells,
        encoders=plan.report.trained_encoders,
        inputs=inputs,
        code=code("table"),
    script:
        "../workflow/scripts/table.py"


rule figures:
    """The figures of a table's predictions, each as PNG, PDF and the CSV of its data."""
    input:
        scores=plan.report.scores,
        predictions=plan.report.predictions,
        annotations=plan.report.annotations,
    output:
        png=report(
            expand(paths.Report.FIGURE, figure=FIGURES, allow_missing=True),
            category="Figures",
            labels={"table": "{table}"},
            caption="../workflow/report/figures.rst",
        ),
        pdf=expand(paths.Report.PRINT, figure=FIGURES, allow_missing=True),
        csv=expand(paths.Report.DATA, figure=FIGURES, allow_missing=True),
    log:
        "logs/figures/{table}.log",
    benchmark:
        "logs/figures/{table}.tsv"
    conda:
        "../envs/report.yaml"
    params:
        entry=plan.report.entry,
        cells=plan.report.cells,
        subset=plan.report.official_subset,
        folder=paths.Report.FIGURES,
        inputs=inputs,
        code=code("figures"),
    script:
        "../workflow/scripts/figures.py"


rule feature_figures:
    """How a table's features were trained, and those of one video: PNG, PDF and the CSV of its data."""
    input:
        features=plan.report.features,
        logs=plan.report.training_logs,
        annotations=plan.report.annotations,
    output:
        png=report(
            expand(paths.Report.FIGURE, figure=FEATURE_FIGURES, allow_missing=True),
            category="Figures",
            labels={"table": "{table}"},
            caption="../workflow/report/figures.rst",
        ),
        pdf=expand(paths.Report.PRINT, figure=FEATURE_FIGURES, allow_missing=True),
        csv=expand(paths.Report.DATA, figure=FEATURE_FIGURES, allow_missing=True),
    log:
        "logs/feature_figures/{table}.log",
    benchmark:
        "logs/feature_figures/{table}.tsv"
    conda:
        "../envs/report.yaml"
    params:
        entry=plan.report.entry,
        subset=plan.report.official_subset,
        trained=plan.report.trained_runs,
        folder=paths.Report.FIGURES,
        inputs=inputs,
        code=code("feature_figures"),
    script:
        "../workflow/scripts/feature_figures.py"


rule overlay_video:
    """The first annotated video of a table's measured subset with actions and predictions running below it."""
    input:
        predictions=plan.report.predictions,
        annotations=plan.report.annotations,
        manifest=plan.report.manifest,
    output:
        paths.Report.OVERLAY,
    log:
        "logs/overlay_video/{table}.log",
    benchmark:
        "logs/overlay_video/{table}.tsv"
    conda:
        "../envs/video.yaml"
    params:
        labels=plan.report.row_labels,
        subset=plan.report.official_subset,
        videos=plan.report.videos,
        name=plan.report.overlay,
        inputs=inputs,
        code=code("overlay_video"),
    script:
        "../workflow/scripts/overlay_video.py"


rule caption_examples:
    """Captions of the first videos of a table of captions, beside their references."""
    input:
        table=paths.Table.HTML,
        captions=plan.report.example_captions,
        references=plan.report.example_references,
        manifest=plan.report.example_manifest,
    output:
        page=paths.Report.CAPTIONS,
        figure=paths.Report.EVENTS,
        pdf=expand(paths.Report.PRINT, figure="events", allow_missing=True),
        csv=expand(paths.Report.DATA, figure="events", allow_missing=True),
    log:
        "logs/caption_examples/{table}.log",
    benchmark:
        "logs/caption_examples/{table}.tsv"
    wildcard_constraints:
        table=one_of(plan.report.captioned_tables),
    conda:
        "../envs/report.yaml"
    params:
        labels=plan.report.row_labels,
        videos=plan.report.example_videos,
        note=plan.report.example_note,
        inputs=inputs,
        code=code("caption_examples"),
    script:
        "../workflow/scripts/caption_examples.py"


rule page:
    """Everything on one self-contained page."""
    input:
        tables=plan.report.tables,
        figures=expand(paths.Report.FIGURE, table=plan.report.drawn_tables, figure=FIGURES),
        features=expand(paths.Report.FIGURE, table=plan.report.featured_tables, figure=FEATURE_FIGURES),
        overlays=plan.report.overlays,
        captions=plan.report.shown_captions,
        manifests=plan.report.manifests,
        annotations=plan.report.all_annotations,
        encoders=plan.report.encoders,
    output:
        paths.Report.PAGE,
    log:
        "logs/page/page.log",
    conda:
        "../envs/report.yaml"
    params:
        tables=plan.report.detection_tables,
        drawn=plan.report.drawn_tables,
        featured=plan.report.featured_tables,
        titles=plan.report.titles,
        manifests=plan.report.manifest_names,
        miniature=plan.report.miniature,
        configuration=config,
        inputs=inputs,
        code=code("page"),
    script:
        "../workflow/scripts/page.py"
