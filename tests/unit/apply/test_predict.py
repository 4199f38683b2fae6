"""`tsp predict` on a small video: its results against a forward pass of the model."""

import csv
import json
from dataclasses import asdict

import av
import numpy as np
import pytest
import torch

from tsp.cli import main
from tsp.encoders.config import EncoderConfig
from tsp.encoders.weights import save_encoder
from tsp.io.features import FeatureFile
from tsp.pretrain.model import TspModel
from tsp.resolve import resolve
from tsp.video.clips import extraction_frames
from tsp.video.config import StandardiseConfig
from tsp.video.decode import VideoReader
from tsp.video.encode import standardise_video
from tsp.video.transforms import eval_transform

LOOK = EncoderConfig(factory="tsp.encoders.video_resnet:r2plus1d_tiny", resize=(18, 20), crop=16)
FRAMES = 100


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "-my video.v2.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 40, 36, "yuv420p"
        for k in range(FRAMES):
            picture = np.full((36, 40, 3), 2 * k, np.uint8) + rng.integers(0, 30, (36, 40, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def make_model(folder, heads, gvf_dim=0, **facts):
    torch.manual_seed(0)
    model = TspModel(resolve(LOOK.factory)(), {head: 2 + (head == "action") for head in heads}, gvf_dim).eval()
    for head in model.names:
        torch.nn.init.normal_(model.get_submodule(head).weight)
    path = folder / "encoder.safetensors"
    save_encoder(
        path, model.state_dict(), {"encoder": asdict(LOOK), "run": {"heads": heads}, "labels": ["a", "b", "c"], **facts}
    )
    return model, path


def clips_of(video):
    with VideoReader(video) as reader:
        rows = extraction_frames(reader.n_frames, 30.0, 16)
        return torch.stack([eval_transform(torch.from_numpy(reader.frames(row)), LOOK) for row in rows])


def test_region_head_over_time(video, tmp_path, capsys):
    model, weights = make_model(tmp_path, ["action", "region"])
    assert main(["predict", "--weights", str(weights), "--output", str(tmp_path / "out"), "--", str(video)]) == 0
    assert "foreground.png" in capsys.readouterr().out
    found = json.loads((tmp_path / "out/prediction.json").read_text())
    features = FeatureFile(tmp_path / "out/features.h5")["-my video.v2"]
    assert features.shape == (3, 64)
    assert found["time_s"] == pytest.approx([8 / 15, 24 / 15, 40 / 15])
    standardise_video(video, tmp_path / "30fps.mp4", StandardiseConfig())
    with torch.inference_mode():
        logits = model(clips_of(tmp_path / "30fps.mp4"))
    expected = logits["region"].softmax(1)[:, 0]
    assert found["foreground"] == pytest.approx(expected.tolist(), abs=1e-5)
    mean = logits["action"].softmax(1).mean(0)
    assert found["actions"][0]["label"] == "abc"[int(mean.argmax())]
    assert sum(entry["score"] for entry in found["actions"]) == pytest.approx(1)
    rows = list(csv.DictReader((tmp_path / "out/foreground.csv").open()))
    assert [float(row["foreground"]) for row in rows] == pytest.approx(found["foreground"])


def test_tac_has_no_foreground(video, tmp_path):
    _, weights = make_model(tmp_path, ["action"])
    assert main(["predict", "--weights", str(weights), "--output", str(tmp_path / "out"), "--", str(video)]) == 0
    assert not (tmp_path / "out/foreground.png").exists()
    assert "foreground" not in json.loads((tmp_path / "out/prediction.json").read_text())


def test_a_gvf_comes_from_the_start_weights_only(video, tmp_path, capsys):
    _, weights = make_model(tmp_path, ["action", "region"], gvf_dim=64)
    arguments = ["predict", "--weights", str(weights), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--", str(video)]) == 1
    assert "pass --gvf-weights" in capsys.readouterr().err
    assert main([*arguments, "--gvf-weights", str(weights), "--", str(video)]) == 0
    assert len(json.loads((tmp_path / "out/prediction.json").read_text())["foreground"]) == 3


def test_what_cannot_be_used_is_one_line(tmp_path, capsys):
    _, weights = make_model(tmp_path, ["action"])
    (tmp_path / "text.mp4").write_text("no video")
    for arguments, message in [
        ([str(tmp_path / "text.mp4"), "--weights", str(weights)], "text.mp4: "),
        ([str(tmp_path / "none.mp4"), "--weights", str(weights)], "none.mp4: "),
        ([str(tmp_path / "text.mp4"), "--weights", str(tmp_path / "none.pth")], "none.pth"),
    ]:
        assert main(["predict", "--output", str(tmp_path / "out"), *arguments]) == 1
        error = capsys.readouterr().err.strip().splitlines()
        assert error[-1].startswith("error: ")
        assert message in error[-1]


def test_weights_without_facts_need_the_network(tmp_path, capsys):
    model, _ = make_model(tmp_path, ["action"])
    torch.save({"model": model.state_dict()}, tmp_path / "w.pth")
    assert main(["predict", str(tmp_path / "x.mp4"), "--weights", str(tmp_path / "w.pth")]) == 1
    assert "pass --encoder r2plus1d_34" in capsys.readouterr().err
