"""What Snakemake would run: dry runs only."""

import json

import pytest


def planned(done):
    """Jobs per rule, from the table that a dry run prints."""
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    table = text.split("Job stats:")[1].split("\n\n")[0].splitlines()[3:]
    return {name: int(count) for name, count in (line.split() for line in table)}


def test_demo_goes_from_videos_to_the_report(snakemake, tmp_path):
    jobs = planned(snakemake(tmp_path, "--dry-run", "--quiet", "rules"))
    assert jobs["total"] == sum(count for rule, count in jobs.items() if rule != "total")
    stages = [
        "render",
        "download",
        "standardise",
        "probe",
        "metadata",
        "segments",
        "gvf",
        "pretrain",
        "extract_features",
    ]
    stages += ["merge_features", "train_localiser", "infer_localiser", "post_process", "evaluate", "table"]
    assert set(stages) <= set(jobs)
    # Two methods on two kinds of features with three seeds each, and one that refines the proposals of a seed.
    assert jobs["train_localiser"] == jobs["infer_localiser"] == jobs["evaluate"] == 12 + 6
    assert (jobs["infer_training_subset"], jobs["list_candidates"]) == (2, 4)
    assert (jobs["table"], jobs["figures"], jobs["feature_figures"], jobs["page"]) == (3, 3, 1, 1)


def given(folder, name, text="{}"):
    path = folder / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def activitynet(folder):
    given(
        folder,
        "activitynet/activity_net.v1-3.min.json",
        json.dumps({"version": "1.3", "taxonomy": [], "database": {}}),
    )


def test_paper_needs_the_annotations_and_nothing_else(snakemake, thumos14, tmp_path):
    for name in ("train.json", "val_1.json", "val_2.json", "available_mp4.txt"):
        given(tmp_path, f"activitynet_captions/{name}")
    arguments = ["--dry-run", "--quiet", "rules", "--config", "preset=paper"]
    missing = snakemake(tmp_path, *arguments)
    assert missing.returncode != 0
    assert "data/activitynet/activity_net.v1-3.min.json" in missing.stdout + missing.stderr

    activitynet(tmp_path)
    jobs = planned(snakemake(tmp_path, *arguments))
    assert "render" not in jobs
    # 101 + 50 shards of ActivityNet, 4 + 5 of THUMOS14; released weights, TAC and TSP on either.
    assert jobs["download"] == jobs["standardise"] == jobs["probe"] == 160
    assert jobs["pretrain"] == 5
    # G-TAD and BMN on both data sets on three kinds of features with three seeds; P-GCN pooled in two ways; BMT.
    assert jobs["train_localiser"] == jobs["infer_localiser"] == 36 + 18
    assert jobs["train_captioner"] == jobs["evaluate_captions"] == 9
    # Six tables of detections, two of which show what others have drawn, and one of captions.
    assert jobs["table"] == 7
    assert (jobs["figures"], jobs["overlay_video"], jobs["caption_examples"], jobs["page"]) == (4, 4, 1, 1)
    # Those of ActivityNet and of THUMOS14.
    assert jobs["feature_figures"] == 2


FAULTS = {
    "misspelt key": ("head_lrr=1", "runs.mini_tsp.head_lrr: unknown key; did you mean 'head_lr'?"),
    "wrong type": ("head_lr=fast", "runs.mini_tsp.head_lr: 'fast': input should be a valid number"),
    "unknown encoder": ("encoder=r2plus1d_43", "'r2plus1d_43' is no encoder; did you mean 'r2plus1d_34'?"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_the_configuration_is_one_message(snakemake, tmp_path, fault):
    entry, message = FAULTS[fault]
    key, value = entry.split("=")
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(f"runs:\n  mini_tsp:\n    {key}: {value}\n")
    done = snakemake(tmp_path, "--dry-run", "--configfile", overlay)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert message in text
    assert f"{overlay}: " in text
    assert "Traceback" not in text


def test_missing_video_folder_is_one_message(snakemake, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("datasets:\n  activitynet:\n    videos: /no/such/folder\n")
    done = snakemake(tmp_path, "--dry-run", "--configfile", overlay)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"{overlay}: datasets.activitynet.videos: '/no/such/folder': no such folder" in text
    assert "Traceback" not in text


def test_released_features_need_no_video(snakemake, tmp_path):
    annotations = tmp_path / "data/activitynet/activity_net.v1-3.min.json"
    annotations.parent.mkdir(parents=True)
    annotations.write_text(json.dumps({"version": "1.3", "taxonomy": [], "database": {}}))
    for name in ("anet_anno_action.json", "video_info_new.csv"):
        annotations.with_name(name).touch()
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("build: {tables: [tal_activitynet_released]}\n")
    arguments = ["--dry-run", "--quiet", "rules", "--config", "preset=paper", "--configfile", overlay]
    jobs = planned(snakemake(tmp_path, *arguments))
    assert not {"download", "standardise", "probe", "extract_features"} & set(jobs)
    # Training and validation features; the released weights give the video-level classes.
    assert jobs["fetch_features"] == 2
    assert jobs["fetch_weights"] == jobs["pretrain"] == jobs["video_scores"] == 1
    assert jobs["train_localiser"] == 3


@pytest.fixture
def thumos14(tmp_path):
    """Annotations in their place."""
    for name in ("val", "test"):
        path = tmp_path / f"data/thumos14/{name}_Annotation.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("video,type,start,end\n")


def test_thumos14_is_cut_into_windows_from_dense_features(snakemake, thumos14, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("build: {tables: [tal_thumos14]}\n")
    arguments = ["--dry-run", "--quiet", "rules", "--config", "preset=paper", "--configfile", overlay]
    jobs = planned(snakemake(tmp_path, *arguments))
    # G-TAD and BMN on three kinds of features with three seeds each; both subsets of all features, and for the GVF.
    assert jobs["train_localiser"] == jobs["evaluate"] == 18
    assert jobs["merge_features"] == 8


def test_proposals_of_one_experiment_are_refined_for_every_row(snakemake, thumos14, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("build: {tables: [refined_thumos14]}\n")
    arguments = ["--dry-run", "--quiet", "rules", "--config", "preset=paper", "--configfile", overlay]
    jobs = planned(snakemake(tmp_path, *arguments))
    # One BMN proposes on both subsets; two ways of pooling, three kinds of features, three seeds refine.
    assert jobs["train_localiser"] == jobs["infer_localiser"] == 1 + 18
    assert jobs["infer_training_subset"] == 1
    assert jobs["list_candidates"] == 4
    assert "video_scores" not in jobs


@pytest.mark.parametrize("kind", ["txt", "json"])
def test_given_proposals_need_no_other_experiment(snakemake, thumos14, tmp_path, kind):
    for side in ("train", "valid"):
        (tmp_path / f"{side}.{kind}").touch()
    overlay = tmp_path / "mine.yaml"
    refines = f"{{experiment: null, run: null, settings: {{}}, train: train.{kind}, valid: valid.{kind}}}"
    entry = f"experiments: {{pgcn_thumos14_released: {{refines: {refines}}}}}"
    overlay.write_text(f"build: {{tables: [refined_thumos14_released]}}\n{entry}\n")
    arguments = ["--dry-run", "--quiet", "rules", "--config", "preset=paper", "--configfile", overlay]
    jobs = planned(snakemake(tmp_path, *arguments))
    assert jobs["train_localiser"] == jobs["infer_localiser"] == 3
    assert not {"infer_training_subset", "list_candidates"} & set(jobs)
    assert jobs.get("list_predictions", 0) == (2 if kind == "json" else 0)


def test_sweep_of_one_training_is_a_target(snakemake, tmp_path):
    target = "results/experiments/bmn_synthetic/mini_tsp/seed1/sweep.md"
    jobs = planned(snakemake(tmp_path, "--dry-run", "--quiet", "rules", "--", target))
    assert jobs["sweep"] == jobs["train_localiser"] == jobs["infer_localiser"] == 1
    assert "post_process" not in jobs


def test_another_seed_or_sweep_repeats_no_training(snakemake, tmp_path):
    """What an experiment's configuration file is made from does not name them."""
    target = "results/experiments/gtad_synthetic/config.yaml"
    assert snakemake(tmp_path, "--", target).returncode == 0
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("experiments: {gtad_synthetic: {seeds: [7], sweep: {nms_keep: [5]}}}\n")
    done = snakemake(tmp_path, "--dry-run", "--configfile", overlay, "--", target)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_table_of_features_that_were_not_released(snakemake, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(
        "tables:\n  mine:\n    title: T\n    rows: [{run: released_features_activitynet, label: x}]\n"
        "    columns: [{experiment: gtad_synthetic, metric: average_mAP, title: a}]\n"
    )
    done = snakemake(tmp_path, "--dry-run", "--configfile", overlay)
    text = done.stdout + done.stderr
    assert "'released_features_activitynet' has no released features 'stride8/synthetic-train'" in text
    assert done.returncode != 0


def test_every_ablation_and_table_is_one_target(snakemake, tmp_path):
    jobs = planned(snakemake(tmp_path, "--dry-run", "--quiet", "rules", "--", "table_miniature_gvf"))
    # Start weights, and TSP without, with average and with maximum GVF; no TAC but for the video-level classes.
    assert jobs["pretrain"] == 5
    assert jobs["table"] == 1
    jobs = planned(snakemake(tmp_path, "--dry-run", "--quiet", "rules", "--", "ablations"))
    assert jobs["table"] == 6
    jobs = planned(snakemake(tmp_path, "--dry-run", "--quiet", "rules", "--", "run_mini_tac"))
    assert jobs["pretrain"] == 2
    assert "train_localiser" not in jobs


def test_captions_of_the_miniature(snakemake, tmp_path):
    jobs = planned(snakemake(tmp_path, "--dry-run", "--quiet", "rules", "--", "captions"))
    # Two kinds of features with three seeds each; sound features of two training shards and one validation shard.
    for rule in (
        "train_captioner",
        "train_proposals",
        "propose",
        "caption_proposals",
        "caption_annotated",
        "evaluate_captions",
    ):
        assert jobs[rule] == 6
    assert jobs["sound_features"] == 3
    assert jobs["caption_references"] == 2
    assert jobs["caption_examples"] == 1
    assert not {"fetch_sound_weights", "fetch_word_vectors", "train_localiser"} & set(jobs)
    assert "train_captioner" not in planned(snakemake(tmp_path, "--dry-run", "--quiet", "rules"))


def test_captions_of_the_paper(snakemake, tmp_path):
    folder = tmp_path / "data/activitynet_captions"
    folder.mkdir(parents=True)
    for name in ("train.json", "val_1.json", "val_2.json", "available_mp4.txt"):
        (folder / name).write_text("{}")
    annotations = tmp_path / "data/activitynet/activity_net.v1-3.min.json"
    annotations.parent.mkdir(parents=True)
    annotations.write_text(json.dumps({"version": "1.3", "taxonomy": [], "database": {}}))
    arguments = ["--dry-run", "--quiet", "rules", "--config", "preset=paper", "--", "captions"]
    jobs = planned(snakemake(tmp_path, *arguments))
    assert jobs["fetch_sound_weights"] == jobs["fetch_word_vectors"] == 1
    assert jobs["sound_features"] == 151
    assert jobs["train_captioner"] == jobs["evaluate_captions"] == 9
    # Segments of either reference file.
    assert jobs["caption_annotated"] == 18


def test_table_of_captions_is_no_ablation(snakemake, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(
        "build: {ablations: [miniature_captions]}\ncaptions: {bmt_synthetic: {settings: {mising: skip}}}\n"
    )
    done = snakemake(tmp_path, "--dry-run", "--configfile", overlay)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "build.ablations: 'miniature_captions' is no table" in text
    assert "captions.bmt_synthetic.settings.mising: unknown key; did you mean 'missing'?" in text
