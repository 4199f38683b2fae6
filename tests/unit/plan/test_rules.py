"""What the rules from videos to scores need, on the configurations of the miniature and of the paper."""

import json
import re

import pytest

from tsp.datasets import listing
from tsp.plan.identity import code
from tsp.plan.inputs import one_of

RELEASED = "https://github.com/HumamAlwassel/TSP/releases/download"


def test_shards_of_a_subset(paper, w):
    names = {"dataset": "thumos14", "subset": "valid"}
    assert paper.probed_shards(w(**names)) == [f"results/thumos14/probe/valid.{k}.csv" for k in range(5)]
    features = paper.feature_shards(w(**names, run="tsp_thumos14", stride="1"))
    assert len(features) == 5
    assert features[4] == "results/features/tsp_thumos14/stride1/thumos14-valid.4.h5"
    assert paper.sound_shards(w(dataset="activitynet", subset="train", sound="vggish"))[100] == (
        "results/sound/vggish/activitynet-train.100.h5"
    )


def test_only_the_last_shard_depends_on_their_number(paper, make_plan, w):
    more = make_plan("paper", {"datasets": {"thumos14": {"subsets": {"valid": {"shards": 6}}}}})
    shard = [w(dataset="thumos14", subset="valid", shard=str(k)) for k in range(6)]
    assert paper.shard(shard[2]) == more.shard(shard[2]) == {"shard": 2, "shards": 4, "shard_size": 50}
    assert paper.shard(shard[4]) == {"shard": 4, "shards": 5, "shard_size": 50}
    assert more.shard(shard[4]) == {"shard": 4, "shards": 6, "shard_size": 50}
    assert more.shard(shard[5]) == {"shard": 5, "shards": 6, "shard_size": 50}


def forget():
    """A process reads each annotation file once."""
    for cached in (listing.shard_digests, listing.canonical_digest, listing._annotated, listing._located):
        cached.cache_clear()


def test_given_annotations_count_by_their_rows(make_plan, w, tmp_path):
    path = tmp_path / "raw.json"
    changes = {"datasets": {"activitynet": {"annotations": [str(path)], "shard_size": 2}}}
    changes["datasets"]["activitynet"]["subsets"] = {"train": {"shards": 2}}
    names = [w(dataset="activitynet", subset="train", shard=str(k)) for k in range(2)]

    def digests(videos):
        entries = {v: {"subset": "training", "duration": 9.0, "annotations": [], "url": "https://x/"} for v in videos}
        path.write_text(json.dumps({"version": "1.3", "taxonomy": [], "database": entries}))
        plan = make_plan("paper", changes)
        forget()
        assert plan.given_annotations(names[0]) == [str(path)]
        assert plan.generated_annotations(names[0]) == []
        return [plan.shard_digest(name) for name in names]

    before, after = digests("abc"), digests("abcd")
    assert before[0] == after[0] != before[1] != after[1]
    path.unlink()
    forget()
    assert make_plan("paper", changes).shard_digest(names[0]) == "unknown"


def test_every_one_of_several_annotation_files_counts(make_plan, w, tmp_path):
    entry = {"subset": "training", "duration": 9.0, "annotations": []}
    frames = {"duration_second": 9.0, "annotations": [], "duration_frame": 90}
    files = [tmp_path / name for name in ("official.json", "frames.json", "split.csv")]
    files[0].write_text(json.dumps({"database": {"a": entry, "b": entry}}))
    names = w(dataset="activitynet", subset="train", shard="0")

    def digests(feature_frame, split):
        files[1].write_text(json.dumps({f"v_{v}": {**frames, "feature_frame": feature_frame} for v in "ab"}))
        files[2].write_text("video,subset\n" + "".join(f"v_{v},training\n" for v in split))
        plan = make_plan("paper", {"datasets": {"activitynet": {"annotations": list(map(str, files))}}})
        forget()
        assert plan.raw_annotations(names) == list(map(str, files))
        return plan.shard_digest(names), plan.canonical_digest(names)

    first, other_frames, other_split = digests(80, "ab"), digests(64, "ab"), digests(80, "ba")
    # Numbers of frames are part of the annotations, not of the list of videos to fetch.
    assert first[0] == other_frames[0] != other_split[0]
    assert len({first[1], other_frames[1], other_split[1]}) == 3


def test_generated_annotations_count_by_their_age(demo, w):
    names = w(dataset="synthetic", subset="train", shard="0")
    assert demo.generated_annotations(names) == demo.raw_annotations(names)
    assert demo.raw_annotations(names) == ["results/synthetic/origin/annotations.json"]
    assert demo.given_annotations(names) == []
    assert demo.shard_digest(names) == "generated"
    assert demo.generated == ["synthetic", "synthetic_trimmed"]
    rendering = demo.rendering(names)
    assert {"kind": "untrimmed", "n_train": 48, "n_valid": 24, "seed": 0, "faults": True}.items() <= rendering.items()


def test_parameters_of_a_data_set(paper, w):
    names = w(dataset="thumos14", subset="train")
    assert paper.official_subset(names) == "validation"
    assert paper.background(names) == {"rule": "released", "min_clips": 1}
    assert paper.max_failed(w(dataset="activitynet")) == 0.15
    listing = paper.listing(names)
    assert list(listing) == ["reader", "annotations", "videos", "url"]
    assert listing["url"] == "https://crcv.ucf.edu/THUMOS14/{filename}"
    options = paper.standardise(w(dataset="synthetic"))
    assert {"shrink": (28, 32), "keyframe_interval": 16, "crf": 12, "fps": 30}.items() <= options.items()
    assert (paper.download["workers"], paper.download["rate_limit"]) == (4, None)
    assert "batch_size" in paper.extract


def test_inputs_of_a_trained_run(paper, w):
    names = w(run="tsp_thumos14")
    assert paper.train_segments(names) == "results/thumos14/segments/train.csv"
    assert paper.valid_videos(names) == "results/thumos14/videos/valid"
    assert paper.run_gvf(names) == "results/gvf/thumos14/kinetics_r2plus1d_34-max.h5"
    assert paper.run_start(names) == "results/pretrain/kinetics_r2plus1d_34/encoder.safetensors"
    assert paper.run_weights(names) == []
    assert (len(paper.run_labels(names)), paper.run_labels(names)[0]) == (20, "BaseballPitch")
    assert paper.run_gvf(w(run="tac_thumos14")) == []
    assert paper.gvf_features(w(dataset="thumos14", run="kinetics_r2plus1d_34")) == [
        f"results/features/kinetics_r2plus1d_34/stride16/thumos14-{subset}.h5" for subset in ("train", "valid")
    ]


def test_inputs_of_released_weights(paper, w):
    names = w(run="released_tsp_thumos14")
    assert paper.run_weights(names) == "results/released/released_tsp_thumos14.pth"
    assert paper.train_segments(names) == paper.valid_segments(names) == paper.train_videos(names) == []
    assert paper.run_start(names) == []
    # The head's classes are those of a data set; the start weights have no head of use.
    assert len(paper.run_labels(names)) == 20
    assert paper.run_labels(w(run="kinetics_r3d_18")) == []
    source = paper.released_weights(w(run="kinetics_r3d_18"))
    assert source == {
        "url": "https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
        "path": None,
        "digest": "b3b3357e",
    }


def test_released_features(paper, w):
    names = {"run": "released_features_thumos14", "stride": "1", "dataset": "thumos14", "subset": "valid"}
    source = paper.released_features(w(**names))
    assert source["url"] == f"{RELEASED}/thumos14_features/r2plus1d_34-tsp_on_thumos14-test_features.h5"
    assert source["digest"] is None
    assert paper.with_released_features == ["released_features_activitynet", "released_features_thumos14"]
    assert not set(paper.with_released_features) & set(paper.with_own_features)
    # A base's weights are its own too.
    assert set(paper.with_released_features) < set(paper.released)
    # Released subsets may be ones that no table reads.
    assert paper.subsets == {"train", "valid", "test"}


def test_what_the_user_wrote_of_a_run(paper, w):
    entry = paper.written_run(w(run="tsp_activitynet_half_region"))
    assert entry["run"]["loss_weights"] == {"region": 0.5}
    assert entry["run"]["gvf"] == "max"
    assert not {"base", "track_code", "trainer"} & set(entry["run"])
    assert entry["encoder"] == {"factory": "tsp.encoders.video_resnet:r2plus1d_34"}


def test_settings_of_a_run_are_complete(paper, make_plan, w):
    names = w(run="tsp_activitynet_half_region")
    settings = paper.run_settings(names)
    assert settings["run"]["trainer"]["weight_decay"] == 0.005
    assert settings["encoder"]["fps"] == 15
    # Decides when a run is trained, not what it becomes.
    tracked = make_plan("paper", {"runs": {"tsp_activitynet_half_region": {"track_code": "all"}}})
    assert tracked.run_settings(names) == settings
    assert tracked.written_run(names) == paper.written_run(names)


@pytest.mark.parametrize(("track", "expected"), [("cheap", None), ("none", "untracked"), ("all", None)])
def test_code_of_training_counts_on_request(make_plan, w, track, expected):
    plan = make_plan("demo", {"runs": {"mini_tsp": {"track_code": track}}})
    version = code("pretrain", "tsp.encoders.video_resnet:r2plus1d_tiny")
    assert plan.code.pretrain(w(run="mini_tsp")) == (expected or version)
    assert plan.track_code(w(run="mini_tsp")) == track
    # Weights that are not trained cost nothing.
    assert plan.track_code(w(run="kinetics_r3d_18")) == "all"


def test_inputs_of_an_experiment(paper, w):
    names = w(experiment="gtad_activitynet_stride32", run="tsp_activitynet", seed="0")
    assert paper.train_features(names) == "results/features/tsp_activitynet/stride32/activitynet-train.h5"
    assert paper.valid_features(names) == "results/features/tsp_activitynet/stride32/activitynet-valid.h5"
    assert paper.annotations(names) == "results/activitynet/annotations.json"
    assert paper.official_subsets(names) == {"train": "training", "valid": "validation"}
    assert (paper.training_subset(names), paper.measured_subset(names)) == ("training", "validation")
    assert paper.tious(w(experiment="pgcn_thumos14")) == [0.3, 0.4, 0.5, 0.6, 0.7]
    assert paper.buckets(w(experiment="pgcn_thumos14")) == "thumos14"
    method = "tsp.localise.gtad"
    assert paper.code.method("train_localiser")(names) == code("train_localiser", method)
    resolving = paper.code.method("resolve_experiment", options=True)(names)
    assert resolving == code("resolve_experiment", method, options=True) != code("resolve_experiment", method)


def test_labels_come_from_a_run_or_a_file_or_the_method(paper, make_plan, w):
    assert paper.labels(w(experiment="bmn_thumos14")) == "results/labels/tac_thumos14/stride1/thumos14-valid.json"
    assert paper.labels(w(experiment="pgcn_thumos14")) == []
    given = make_plan("paper", {"experiments": {"bmn_thumos14": {"labels": "cuhk.json"}}})
    assert given.labels(w(experiment="bmn_thumos14")) == "cuhk.json"


def test_seeds_and_sweeps_change_no_experiment(demo, make_plan, w):
    names = w(experiment="bmn_synthetic")
    more = make_plan("demo", {"experiments": {"bmn_synthetic": {"seeds": [7], "sweep": {"nms_keep": [5]}}}})
    assert demo.experiment_entry(names) == more.experiment_entry(names)
    assert list(demo.experiment_entry(names)) == ["method", "dataset", "stride", "labels", "refines", "settings"]
    assert more.sweep(names)["nms_keep"] == [5]


def test_most_methods_refine_nothing(paper, w):
    names = w(experiment="bmn_thumos14", run="tsp_thumos14", seed="0")
    assert paper.train_proposals(names) == paper.valid_proposals(names) == []


def test_refined_proposals_of_one_run_for_every_row(paper, w):
    names = {"experiment": "pgcn_thumos14_time", "run": "tac_thumos14"}
    listed = "results/experiments/pgcn_thumos14_time/proposals/tsp_thumos14"
    assert paper.train_proposals(w(**names)) == f"{listed}/train.txt"
    assert paper.valid_proposals(w(**names)) == f"{listed}/valid.txt"
    # That list's own wildcards.
    train, valid = (w(experiment="pgcn_thumos14_time", run="tsp_thumos14", side=side) for side in ("train", "valid"))
    source = "results/experiments/bmn_thumos14"
    assert paper.source_config(train) == f"{source}/config.yaml"
    assert paper.source_raw(train) == f"{source}/tsp_thumos14/seed0/raw_train.h5"
    assert paper.source_raw(valid) == f"{source}/tsp_thumos14/seed0/raw.h5"
    assert paper.source_metadata(train) == "results/thumos14/metadata/train.csv"
    assert paper.source_settings(train) == {"candidates": "peaks"}
    assert (paper.listed_subset(train), paper.listed_subset(valid)) == ("validation", "test")
    assert (paper.kept_proposals(train), paper.kept_proposals(valid)) == (1000, 800)
    assert paper.code.refined("list_candidates")(train) == code("list_candidates", "tsp.localise.bmn")


def test_refined_proposals_of_the_same_run(demo, w):
    path = "results/experiments/pgcn_synthetic/proposals/mini_tac/valid.txt"
    assert demo.valid_proposals(w(experiment="pgcn_synthetic", run="mini_tac")) == path
    assert demo.refiners_of_experiments == [
        *("pgcn_thumos14", "pgcn_thumos14_time", "pgcn_thumos14_released", "pgcn_activitynet", "pgcn_synthetic"),
    ]
    assert demo.refiners_of_predictions == []


@pytest.mark.parametrize("kind", ["txt", "json"])
def test_given_proposals(make_plan, w, kind):
    given = {"experiment": None, "run": None, "train": f"a.{kind}", "valid": f"b.{kind}", "settings": {}}
    plan = make_plan("paper", {"experiments": {"pgcn_thumos14": {"refines": given}}})
    names = w(experiment="pgcn_thumos14", run="tsp_thumos14", side="valid")
    # Lists are read where they are, predictions are converted first.
    made = "results/experiments/pgcn_thumos14/proposals/tsp_thumos14/valid.txt"
    assert plan.valid_proposals(names) == ("b.txt" if kind == "txt" else made)
    assert plan.refiners_of_predictions == ([] if kind == "txt" else ["pgcn_thumos14"])
    assert "pgcn_thumos14" not in plan.refiners_of_experiments
    assert plan.source_predictions(names) == f"b.{kind}"


def test_released_features_have_no_metadata(paper, w):
    names = {"experiment": "gtad_thumos14_released", "seed": "0"}
    assert paper.measured_metadata(w(**names, run="released_features_thumos14")) == []
    assert paper.measured_metadata(w(**names, run="tsp_thumos14")) == "results/thumos14/metadata/valid.csv"
    listed = w(experiment="pgcn_thumos14_released", run="released_features_thumos14", side="train")
    assert paper.source_metadata(listed) == []


def test_resources_grow_with_the_attempt(paper, w):
    names = w(experiment="gtad_thumos14")
    assert [paper.memory(8000)(names, attempt=k) for k in (1, 2, 3)] == [8000, 16000, 24000]
    assert [paper.minutes(120)(names, attempt=k) for k in (1, 2)] == [120, 240]
    assert (paper.threads(6), paper.gpus) == (6, 1)
    assert [paper.training_memory(names, attempt=k) for k in (1, 2)] == [16000, 32000]
    assert paper.training_memory(w(experiment="pgcn_thumos14"), attempt=1) == 32000


def test_resources_of_the_miniature(demo, w):
    assert (demo.threads(6), demo.gpus) == (1, 0)
    assert demo.memory(16000)(w(), attempt=2) == 4000
    assert demo.training_memory(w(experiment="pgcn_synthetic"), attempt=1) == 2000
    assert demo.minutes(30)(w(), attempt=1) == 30


def test_a_wildcard_is_one_of_the_names_and_nothing_else():
    pattern = one_of(["a.b", "c"])
    assert [bool(re.fullmatch(pattern, text)) for text in ("a.b", "c", "axb", "none")] == [True, True, False, False]
    assert one_of([]) == "none"
