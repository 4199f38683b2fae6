"""The steps of dense captioning, called directly on a tiny data set."""

from dataclasses import asdict

import pytest
from unit.caption.make import CONFIG, data_set

from tsp.config.load import read_config
from tsp.config.resolved import ResolvedCaptions
from tsp.io.annotations import write_annotations
from tsp.io.captions import read_captions
from tsp.io.files import read_json
from tsp.types import Segment, Video


@pytest.fixture(scope="module")
def files(tmp_path_factory, step):
    folder = tmp_path_factory.mktemp("captions")
    data_set(folder)
    settings = asdict(CONFIG)
    for part in ("captioner", "proposals"):
        settings[part]["trainer"] |= {"epochs": 1}
    entry = {"dataset": "x", "train": "t", "references": ["r"], "settings": settings}
    step(
        "resolve_captions",
        output=[folder / "config.yaml"],
        params={"entry": entry},
        wildcards={"captioning": "mine"},
    )
    return {
        "config": folder / "config.yaml",
        "train_video": folder / "train_video.h5",
        "train_audio": folder / "train_audio.h5",
        "valid_video": folder / "valid_video.h5",
        "valid_audio": folder / "valid_audio.h5",
        "captions": folder / "train.json",
        "references": [folder / "valid.json"],
        "available": [],
    }


def test_resolved_options_are_complete(files):
    resolved = read_config(files["config"], ResolvedCaptions)
    assert resolved.name == "mine"
    assert resolved.config.captioner.word_width == 16
    assert resolved.config.captioner.trainer.epochs == 1
    assert resolved.config.proposals.video_kernels == (1, 5)


def test_from_features_to_captions(step, files, tmp_path):
    weights, proposals = tmp_path / "captioner.safetensors", tmp_path / "proposals.safetensors"
    seed = {"seed": "3"}
    step(
        "train_captioner",
        input={**files, "vectors": []},
        output={"weights": weights},
        params={"work": tmp_path / "work1"},
        wildcards=seed,
    )
    assert read_json(weights.with_suffix(".json"))["seed"] == 3
    step(
        "train_proposals",
        input={**files, "captioner": weights},
        output={"weights": proposals},
        params={"work": tmp_path / "work2"},
        wildcards=seed,
    )
    assert proposals.with_suffix(".jsonl").is_file()
    segments, captions, annotated = (tmp_path / f"{name}.json" for name in ("segments", "captions", "annotated"))
    step("propose", input={**files, "weights": proposals}, output=[segments])
    step("caption_proposals", input={**files, "weights": weights, "proposals": segments}, output=[captions])
    step("caption_annotated", input={**files, "weights": weights}, output=[annotated], wildcards={"reference": "0"})
    truth = read_json(files["references"][0])
    assert {k: len(v) for k, v in read_captions(annotated).items()} == dict.fromkeys(truth, 2)
    assert list(read_captions(captions)) == list(read_captions(segments))


def test_references_of_one_subset(step, tmp_path):
    def video(name, subset):
        segment = Segment(start_s=1.0, end_s=2.0, label="x")
        extra = {"captions": [{"segment": [1.0, 2.0], "sentence": f"It is {name}."}]}
        return Video(
            name=name, filename=f"v_{name}.mp4", subset=subset, duration_s=9.0, segments=(segment,), extra=extra
        )

    write_annotations(tmp_path / "a.json", [video("a", "training"), video("b", "validation")])
    step(
        "caption_references",
        input={"annotations": tmp_path / "a.json"},
        output=[tmp_path / "r.json"],
        params={"official": "validation"},
    )
    assert read_json(tmp_path / "r.json") == {
        "v_b": {"duration": 9.0, "timestamps": [[1.0, 2.0]], "sentences": ["It is b."]}
    }
