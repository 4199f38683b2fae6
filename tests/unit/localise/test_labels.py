import numpy as np
import pytest
import torch

from tsp.encoders.weights import save_encoder
from tsp.errors import TspError
from tsp.io.annotations import write_annotations
from tsp.io.features import feature_writer
from tsp.io.files import read_json, write_json
from tsp.localise.labels import read_video_scores, video_scores
from tsp.types import Video

LABELS = ["jump", "run", "sit"]


@pytest.fixture
def files(tmp_path):
    """Features and annotations of two videos; a third has features only."""
    rng = np.random.default_rng(0)
    with feature_writer(tmp_path / "f.h5", {"stride": 16}) as writer:
        for key in ("v_a", "v_b", "v_other"):
            writer.write(key, rng.normal(size=(5, 4)).astype(np.float32))
    videos = [Video(name=n, filename=f"v_{n}.mp4", subset="valid", duration_s=9.0, segments=()) for n in "ab"]
    write_annotations(tmp_path / "annotations.json", videos)
    return tmp_path


def head(files, names, k=3, heads=("action", "region")):
    torch.manual_seed(0)
    sizes = {"fc1": k, "fc": k, "fc2": 2}
    state = {"features.stem.weight": torch.zeros(1)}
    for name in names:
        state |= {f"{name}.weight": torch.randn(sizes[name], 4), f"{name}.bias": torch.randn(sizes[name])}
    save_encoder(files / "encoder.safetensors", state, {"run": {"heads": list(heads)}})
    return state


def score(files):
    video_scores(files / "f.h5", files / "encoder.safetensors", files / "annotations.json", LABELS, files / "s.json")
    return read_json(files / "s.json")


@pytest.mark.parametrize("names", [["fc1", "fc2"], ["fc"]])
def test_mean_of_the_clips_softmax(files, names):
    state = head(files, names, heads=["action", "region"][: len(names)])
    document = score(files)
    assert document["class"] == LABELS
    assert sorted(document["results"]) == ["a", "b"]
    import h5py

    with h5py.File(files / "f.h5") as file:
        clips = file["v_b"][()].astype(np.float64)
    logits = clips @ state[f"{names[0]}.weight"].double().numpy().T + state[f"{names[0]}.bias"].double().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(document["results"]["b"], shares.mean(0), atol=1e-6)
    assert read_video_scores(files / "s.json").best("b", 1)[0][0] == LABELS[int(shares.mean(0).argmax())]


def test_weights_without_an_action_head(files):
    head(files, [])
    with pytest.raises(TspError, match="no action head"):
        score(files)
    head(files, ["fc"], heads=["region"])
    with pytest.raises(TspError, match="no action head"):
        score(files)


def test_a_head_of_other_classes(files):
    head(files, ["fc1", "fc2"], k=5)
    with pytest.raises(TspError, match="5 classes, not 3"):
        score(files)


def test_best_classes_first_on_ties(tmp_path):
    write_json(tmp_path / "s.json", {"results": {"x": [0.2, 0.4, 0.4]}, "class": LABELS})
    assert read_video_scores(tmp_path / "s.json").best("x", 2) == [("run", 0.4), ("sit", 0.4)]
    with pytest.raises(TspError, match="no class scores of video 'y'"):
        read_video_scores(tmp_path / "s.json").best("y", 2)


@pytest.mark.parametrize("bad", [{"class": LABELS}, {"class": LABELS, "results": {"x": [1, 2]}}, []])
def test_other_layouts_are_refused(tmp_path, bad):
    write_json(tmp_path / "s.json", bad)
    with pytest.raises(TspError, match=r"s\.json"):
        read_video_scores(tmp_path / "s.json")


def test_untrimmednet_scores(tmp_path):
    table = np.zeros((3, 101), np.float32)
    table[1, 6], table[1, 11], table[1, 0] = 0.5, 0.25, 0.9
    table[2, [6, 96]] = 0.5
    np.save(tmp_path / "u.npy", table)
    scores = read_video_scores(tmp_path / "u.npy")
    assert len(scores.classes) == 20
    assert scores.best("video_test_0000002", 2) == [("BaseballPitch", 0.5), ("Billiards", 0.25)]
    # The released code takes the higher id of two equal scores.
    assert [name for name, _ in scores.best("video_test_0000003", 2)] == ["VolleyballSpiking", "BaseballPitch"]
    np.save(tmp_path / "u.npy", table[:, :100])
    with pytest.raises(TspError, match="expected finite scores"):
        read_video_scores(tmp_path / "u.npy")
