"""What the rules of dense captioning need, on the configurations of the miniature and of the paper."""

import pytest

SEED = {"captioning": "bmt_activitynet", "run": "tsp_activitynet", "seed": "0"}


def test_both_streams_of_both_subsets(paper, w):
    names = w(**SEED)
    found = {key: value(names) for key, value in paper.captions.sources.items() if callable(value)}
    features, sound = "results/features/tsp_activitynet/stride16", "results/sound/vggish"
    assert found == {
        "valid_video": f"{features}/activitynet-valid.h5",
        "valid_audio": f"{sound}/activitynet-valid.h5",
        "train_video": f"{features}/activitynet-train.h5",
        "train_audio": f"{sound}/activitynet-train.h5",
        "captions": "data/activitynet_captions/train.json",
        "references": ["data/activitynet_captions/val_1.json", "data/activitynet_captions/val_2.json"],
        "available": "data/activitynet_captions/available_mp4.txt",
    }
    assert paper.captions.sources["config"] == "results/captions/{captioning}/config.yaml"
    assert set(paper.captions.measured) == set(paper.captions.sources) - {"train_video", "train_audio", "captions"}


def test_annotated_segments_of_each_reference_file(paper, demo, w):
    folder = "results/captions/bmt_activitynet/tsp_activitynet/seed0"
    assert paper.captions.annotated(w(**SEED)) == [f"{folder}/annotated-{k}.json" for k in range(2)]
    assert len(demo.captions.annotated(w(captioning="bmt_synthetic", run="mini_tsp", seed="1"))) == 1


def test_a_missing_list_of_videos_is_no_input(demo, w):
    assert demo.captions.available(w(captioning="bmt_synthetic")) == []


def test_seeds_change_no_entry(paper, make_plan, w):
    more = make_plan("paper", {"captions": {"bmt_activitynet": {"seeds": [9]}}})
    names = w(captioning="bmt_activitynet")
    assert more.captions.entry(names) == paper.captions.entry(names)
    assert "seeds" not in paper.captions.entry(names)


@pytest.mark.parametrize(
    ("sound", "weights", "gpus"), [("vggish", "results/released/vggish.pth", 1), ("statistics", [], 0)]
)
def test_sound_without_a_network_needs_no_weights(paper, w, sound, weights, gpus):
    assert paper.captions.sound_weights(w(sound=sound)) == weights
    assert paper.captions.sound_gpus(w(sound=sound)) == gpus


def test_released_files(paper, demo, w):
    assert paper.captions.sound_source["digest"] == "10086976"
    assert paper.captions.vectors(w(captioning="bmt_activitynet")) == "results/released/bmt_activitynet.vectors"
    source = paper.captions.vectors_source(w(captioning="bmt_activitynet"))
    assert set(source) == {"url", "path", "digest"}
    assert source["url"] or source["path"]
    assert demo.captions.vectors(w(captioning="bmt_synthetic")) == []
