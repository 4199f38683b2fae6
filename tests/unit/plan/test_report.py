"""What tables, figures and the report need, and what a preset builds."""

PAPER_TABLES = ["tal_activitynet", "proposals_activitynet", "tal_thumos14", "refined_thumos14"]


def test_cells_of_a_table_are_all_its_seeds(demo, w):
    cells = demo.report.cells(w(table="miniature"))
    assert cells == [("gtad_synthetic", run, seed) for run in ("mini_tac", "mini_tsp") for seed in range(3)]
    scores = demo.report.scores(w(table="miniature"))
    assert scores[3] == "results/experiments/gtad_synthetic/mini_tsp/seed0/scores.json"
    assert len(scores) == len(cells) == 6


def test_cells_of_a_table_of_captions(demo, w):
    scores = demo.report.scores(w(table="miniature_captions"))
    assert scores[0] == "results/captions/bmt_synthetic/mini_tac/seed0/scores.json"
    assert len(scores) == 6


def test_targets_of_the_miniature(demo):
    report = demo.report
    assert report.built_tables == [
        f"results/tables/{name}.md" for name in ("miniature", "miniature_proposals", "miniature_refined")
    ]
    assert report.built_features == []
    assert report.table_features == [
        f"results/features/{run}/stride8/synthetic-{subset}.h5"
        for run in ("mini_tac", "mini_tsp")
        for subset in ("train", "valid")
    ]
    assert len(report.ablation_tables) == 6
    assert report.caption_tables == ["results/tables/miniature_captions.md"]
    assert report.caption_pages == ["results/report/captions/miniature_captions.html"]
    assert report.encoders == [f"results/pretrain/{run}/encoder.safetensors" for run in ("mini_tac", "mini_tsp")]
    assert report.manifests == [f"results/synthetic/manifest/{subset}.csv" for subset in ("train", "valid")]
    assert report.manifest_names == ["synthetic train", "synthetic valid"]
    assert report.all_annotations == ["results/synthetic/annotations.json"]
    assert report.miniature


def test_features_without_a_table(make_plan):
    build = {"tables": [], "features": ["tiny/stride16/mine-all"]}
    plan = make_plan("paper", {"build": build})
    assert plan.report.built_features == ["results/features/tiny/stride16/mine-all.h5"]
    assert plan.report.built_tables == plan.report.table_features == plan.report.overlays == []


def test_figures_are_drawn_once(paper):
    # `short_*` show methods and features that another table has drawn already; captions have figures of their own.
    assert paper.report.drawn_tables == PAPER_TABLES
    assert paper.report.featured_tables == ["tal_activitynet", "tal_thumos14"]
    assert list(paper.report.titles) == PAPER_TABLES
    assert paper.report.tables == [f"results/tables/{name}.html" for name in paper.report.detection_tables]
    assert "captions" not in paper.report.detection_tables
    assert paper.report.captioned_tables == ["captions", "miniature_captions"]
    assert not paper.report.miniature


def test_figures_show_the_first_seed_of_each_row(demo, w):
    names = w(table="miniature_refined")
    folder = "results/experiments/pgcn_synthetic"
    assert demo.report.predictions(names) == [
        f"{folder}/{run}/seed0/predictions.json" for run in ("mini_tac", "mini_tsp")
    ]
    assert demo.report.features(names)[1] == "results/features/mini_tsp/stride8/synthetic-valid.h5"
    assert demo.report.annotations(names) == "results/synthetic/annotations.json"
    assert demo.report.official_subset(names) == "validation"
    assert demo.report.videos(names) == "results/synthetic/videos/valid"
    assert demo.report.manifest(names) == "results/synthetic/manifest/valid.csv"
    assert len(demo.report.row_labels(names)) == 2


def test_only_trained_runs_have_logs(paper, w):
    names = w(table="tal_activitynet")
    rows = [row.run for row in paper.settings.tables["tal_activitynet"].rows]
    trained = paper.report.trained_runs(names)
    assert trained == [run for run in rows if not run.startswith("kinetics")]
    assert paper.report.training_logs(names) == [f"results/pretrain/{run}/log.jsonl" for run in trained]


def test_released_features_have_no_video_to_draw_on(make_plan):
    plan = make_plan("paper", {"build": {"tables": ["tal_activitynet_released", "tal_thumos14"]}})
    assert plan.report.overlays == ["results/report/figures/tal_thumos14/overlay.mp4"]
    assert not any("released" in path for path in plan.report.encoders)
    assert plan.report.manifest_names == ["thumos14 train", "thumos14 valid"]
    assert plan.report.all_annotations == [
        "results/activitynet_published/annotations.json",
        "results/thumos14/annotations.json",
    ]


def test_overlay_is_a_choice_of_the_table(paper, make_plan, w):
    assert paper.report.overlay(w(table="miniature_short")) is None
    chosen = make_plan("demo", {"tables": {"miniature": {"overlay": "v"}}})
    assert chosen.report.overlay(w(table="miniature")) == "v"


def test_examples_of_captions(demo, paper, w):
    names = w(table="miniature_captions")
    assert demo.report.example_captions(names) == [
        f"results/captions/bmt_synthetic/{run}/seed0/captions.json" for run in ("mini_tac", "mini_tsp")
    ]
    assert demo.report.example_references(names) == ["results/synthetic/captions/valid.json"]
    assert demo.report.example_videos(names) == "results/synthetic/videos/valid"
    assert demo.report.example_manifest(names) == "results/synthetic/manifest/valid.csv"
    assert (demo.report.example_note(names), paper.report.example_note(w(table="captions"))) == ("miniature", "")


def test_examples_of_released_features_have_no_video(make_plan, w):
    rows = [{"run": "released_features_activitynet", "label": "x"}]
    table = {"rows": rows, "published": [], "differences": [], "references": []}
    plan = make_plan("paper", {"tables": {"captions": table}})
    assert plan.report.example_manifest(w(table="captions")) == []


def test_the_report_shows_captions_that_the_preset_builds(demo, make_plan, paper, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    page = "results/report/captions/miniature_captions.html"
    (tmp_path / page).parent.mkdir(parents=True)
    (tmp_path / page).touch()
    assert demo.report.shown_captions == []
    built = make_plan("demo", {"build": {"tables": ["miniature", "miniature_captions"]}})
    assert built.report.shown_captions == [page]
    assert paper.report.shown_captions == ["results/report/captions/captions.html"]


def test_an_entry_has_all_options(demo, w):
    entry = demo.report.entry(w(table="miniature"))
    assert entry["published"] == []
    assert entry["miniature"] is True


def test_encoders_behind_a_table(demo, paper, w):
    # The rows, the start weights of TSP, and the run whose action head gives the video-level classes.
    assert demo.report.trained_encoders(w(table="miniature")) == ["mini_tac", "mini_tsp", "mini_start"]
    assert demo.report.encoder_facts(w(table="miniature"))[0] == "results/pretrain/mini_tac/encoder.json"
    # Released weights and features are not trained here.
    assert paper.report.trained_encoders(w(table="tal_activitynet_released")) == []
