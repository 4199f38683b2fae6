"""From outputs to detections: fusion of streams, suppression, refinement."""

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest
from unit.localise.make import LABELS, raw_of
from unit.localise.pgcn.make import SMALL, infer, post_process

from tsp.cli import main
from tsp.config.load import write_config
from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.files import write_json
from tsp.io.predictions import read_predictions
from tsp.localise.pgcn import method as pgcn
from tsp.localise.pgcn.detections import (
    Outputs,
    fuse_streams,
    hard_nms,
    read_outputs,
    refined,
    refined_proposals,
    write_outputs,
)
from tsp.sweep import Inputs, sweep


def made_outputs(n=6, seed=0, name="v"):
    rng = np.random.default_rng(seed)
    segments = np.sort(rng.random((n, 2)), axis=1)
    scores = rng.normal(size=(n, 3)), rng.normal(size=(n, 2)), rng.normal(size=(n, 2, 2)) * 0.1
    return Outputs(
        name=name, duration_s=10.0, segments=segments, activity=scores[0], completeness=scores[1], regression=scores[2]
    )


def test_streams_are_averaged_before_they_are_scored(tmp_path):
    first = made_outputs()
    second = dataclasses.replace(made_outputs(seed=1), segments=first.segments)
    for name, video in (("a", first), ("b", second)):
        write_outputs(tmp_path / f"{name}.h5", iter([video]), ["x", "y"], {})
    fuse_streams([tmp_path / "a.h5", tmp_path / "b.h5"], [1.2, 1.0], tmp_path / "both.h5")
    classes, videos = read_outputs(tmp_path / "both.h5")
    (video,) = videos
    assert classes == ["x", "y"]
    for key in ("activity", "completeness", "regression"):
        expected = (1.2 * getattr(first, key) + getattr(second, key)) / 2.2
        np.testing.assert_allclose(getattr(video, key), expected, atol=1e-6)


def test_the_command_fuses_with_the_published_weight(tmp_path, capsys):
    for name, seed in (("a", 0), ("b", 1)):
        video = replace(made_outputs(seed=seed), segments=made_outputs().segments)
        write_outputs(tmp_path / f"{name}.h5", iter([video]), ["x", "y"], {})
    files = [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]
    for options, weight in (([], 1.2), (["--weight", "2"], 2.0)):
        assert main(["fuse", *files, "--output", str(tmp_path / "both.h5"), *options]) == 0
        fuse_streams(files, [1.0, weight], tmp_path / "same.h5")
        assert (tmp_path / "both.h5").read_bytes() == (tmp_path / "same.h5").read_bytes()
    assert main(["fuse", *files, "--output", str(tmp_path / "none.h5"), "--weight", "0"]) == 1
    assert "error: 2 streams and 2 weights: expected one positive weight per stream" in capsys.readouterr().err
    assert not (tmp_path / "none.h5").exists()


def test_streams_with_other_classes_are_refused(tmp_path):
    for name, classes in (("a", ["x", "y"]), ("b", ["x", "z"])):
        write_outputs(tmp_path / f"{name}.h5", iter([made_outputs()]), classes, {})
    with pytest.raises(TspError, match="differ in their classes"):
        fuse_streams([tmp_path / "a.h5", tmp_path / "b.h5"], [1, 1], tmp_path / "both.h5")


def test_streams_of_other_proposals_are_refused(tmp_path):
    for name, videos in (("a", [made_outputs()]), ("b", [made_outputs(seed=1)]), ("c", [])):
        write_outputs(tmp_path / f"{name}.h5", iter(videos), ["x", "y"], {})
    for other in ("b", "c"):
        with pytest.raises(TspError, match="differ between streams"):
            fuse_streams([tmp_path / "a.h5", tmp_path / f"{other}.h5"], [1, 1], tmp_path / "both.h5")
    with pytest.raises(TspError, match="one positive weight per stream"):
        fuse_streams([tmp_path / "a.h5"], [1, 1], tmp_path / "both.h5")


def test_hard_nms():
    segments = np.array([[0, 10], [1, 11], [20, 30], [2, 12], [0, 10]], float)
    scores = np.array([0.5, 0.9, 0.1, 0.8, 0.5])
    assert hard_nms(segments, scores, 0.6).tolist() == [1, 2]
    # [1, 11] overlaps [2, 12] and [0, 10] by 9 / 11, and these two each other by 2 / 3.
    assert hard_nms(segments, scores, 0.81).tolist() == [1, 2]
    assert hard_nms(segments, scores, 9 / 11).tolist() == [1, 3, 0, 2]


def one_video(regression):
    """Two proposals of one class that overlap by 0.8, and a third, poor one."""
    activity = np.log(np.array([[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1]]))
    shift = np.zeros((3, 2, 2))
    shift[:, 0, 0] = regression
    segments = np.array([[0.1, 0.2], [0.11, 0.2], [0.6, 0.7]])
    return Outputs(
        name="v", duration_s=1.0, segments=segments, activity=activity, completeness=np.zeros((3, 2)), regression=shift
    )


def test_suppression_before_or_after_refinement():
    apart = one_video([0.0, 8.0, 0.0])
    found = {}
    for order in ("before", "after"):
        video = refined(replace(SMALL, top=None, nms=order), apart)
        found[order] = video.segments[video.classes == 0].round(3).tolist()
    assert found["before"] == [[0.1, 0.2], [0.6, 0.7]]
    assert found["after"] == [[0.1, 0.2], [0.83, 0.92], [0.6, 0.7]]


def test_a_proposal_is_proposed_once_by_its_best_class():
    found = refined_proposals(replace(SMALL, nms_threshold=None), one_video([1.0, 0.0, 0.0]))
    # The third is as good in either class; the first has moved by its length.
    assert found.segments.round(3).tolist() == [[0.2, 0.3], [0.11, 0.2], [0.6, 0.7]]
    np.testing.assert_allclose(found.scores, [0.8, 0.7, 0.1])
    assert len(refined_proposals(SMALL, one_video([0.0, 0.0, 0.0])).scores) == 2


def test_proposals_have_no_labels(data, tmp_path):
    infer(data, tmp_path / "raw.h5")
    pgcn.propose(SMALL, raw_of(data, tmp_path / "raw.h5"), output=tmp_path / "p.json")
    found = read_predictions(tmp_path / "p.json")
    assert sorted(found) == ["11", "2", "5", "8"]
    assert not any("label" in entry for entries in found.values() for entry in entries)
    assert all(0 < len(entries) <= 60 for entries in found.values())


def test_number_of_pairs_and_no_suppression():
    video = one_video([0.0, 0.0, 0.0])
    everything = refined(replace(SMALL, top=None, nms_threshold=None), video)
    assert len(everything.scores) == 6
    assert sorted(everything.classes.tolist()) == [0, 0, 0, 1, 1, 1]
    assert len(refined(replace(SMALL, top=2, nms_threshold=None), video).scores) == 2


def test_video_level_classes(data, tmp_path):
    infer(data, tmp_path / "raw.h5")
    one = post_process(data, tmp_path / "raw.h5", replace(SMALL, video_classes=1), data / "labels.json")
    own = post_process(data, tmp_path / "raw.h5")
    truth = {v.name: v.segments[0].label for v in read_annotations(data / "annotations.json")}
    for name, entries in one.items():
        assert {e["label"] for e in entries} == {truth[name]}
        best = max(e["score"] for e in own[name] if e["label"] == truth[name])
        assert entries[0]["score"] == pytest.approx(best * (0.9 if truth[name] == LABELS[0] else 0.8))
    with pytest.raises(TspError, match="needs video-level scores"):
        post_process(data, tmp_path / "raw.h5", replace(SMALL, video_classes=1))
    write_json(tmp_path / "other.json", {"results": {name: [1.0] for name in one}, "class": ["swim"]})
    with pytest.raises(TspError, match="class 'swim' of video"):
        post_process(data, tmp_path / "raw.h5", replace(SMALL, video_classes=1), tmp_path / "other.json")


def test_suppression_is_swept_without_class_scores(data, tmp_path):
    infer(data, tmp_path / "raw.h5")
    entry = {"method": "tsp.localise.pgcn", "dataset": "d", "refines": {"experiment": "b"}}
    settings = json.loads(json.dumps(dataclasses.asdict(SMALL)))
    write_config(tmp_path / "config.yaml", {"name": "x", "experiment": {**entry, "settings": settings}})
    inputs = Inputs(
        config=tmp_path / "config.yaml",
        raw=tmp_path / "raw.h5",
        annotations=data / "annotations.json",
        labels=None,
        subset="validation",
    )
    found = sweep(inputs, {"nms": ["before", "after"], "top": [50, 2]}, [0.3])
    assert found.table["top"].tolist() == [50, 2, 50, 2]
    assert (found.table["average_mAP"] > 0).all()
