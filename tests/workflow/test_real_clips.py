"""Two real ActivityNet videos from a web server to features of the full-size encoders."""

import json
import threading
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from tsp.cli import main
from tsp.config.load import write_config
from tsp.encoders.config import EncoderConfig
from tsp.encoders.video_resnet import r2plus1d_18
from tsp.encoders.weights import save_encoder
from tsp.io.features import FeatureFile
from tsp.io.files import read_json
from tsp.io.tables import read_metadata, read_segments
from tsp.pretrain.model import TspModel

VIDEOS = {
    "ZNVhz7ctTq0": ("training", "Walking the dog", [0.3287380109204368, 14.048072562358275]),
    "GGSY1Qvo990": ("validation", "Clean and jerk", [5.823597503900156, 16.198647425897036]),
}
# Each video through one of the two networks: what is particular to a video has nothing to do with the network.
FEATURES = {"train": "untrained_r2plus1d_34", "valid": "untrained_r2plus1d_18"}
OFFICIAL_ROWS = ["video-name", "t-start", "t-end", "action-label", "filename", "fps", "temporal-region-label"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def results(shared, tmp_path_factory, snakemake):
    """The `results` folder after one run of the overlay `config/real_clips.yaml`."""
    folder = tmp_path_factory.mktemp("real")
    database = {
        name: {"subset": subset, "duration": 0.0, "annotations": [{"segment": segment, "label": label}]}
        for name, (subset, label, segment) in VIDEOS.items()
    }
    annotations = folder / "annotations.json"
    annotations.write_text(json.dumps({"version": "1.3", "taxonomy": [], "database": database}))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=shared / "real_videos"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    overlay = folder / "here.yaml"
    url = f"http://127.0.0.1:{server.server_port}/{{filename}}"
    write_config(overlay, {"datasets": {"real_clips": {"annotations": [str(annotations)], "url": url}}})
    targets = [f"results/real_clips/segments/{subset}.csv" for subset in FEATURES]
    targets += [f"results/features/{run}/stride16/real_clips-{subset}.h5" for subset, run in FEATURES.items()]
    done = snakemake(folder, "--configfile", "config/real_clips.yaml", overlay, "--", *targets)
    server.shutdown()
    assert done.returncode == 0, done.stderr
    return folder / "results"


@pytest.mark.parametrize(
    ("subset", "frames", "slack"), [("train", 420, 0), pytest.param("valid", 542, 1, id="valid-of-19.62-fps")]
)
def test_frames(results, subset, frames, slack):
    row = read_metadata(results / f"real_clips/metadata/{subset}.csv").iloc[0]
    assert abs(row["video-frames"] - frames) <= slack
    assert row["fps"] == 30
    assert row["video-duration"] == pytest.approx(row["video-frames"] / 30, abs=1e-9)


@pytest.mark.parametrize("subset", ["train", "valid"])
def test_rows_are_the_official_ones(results, shared, subset):
    ours = read_segments(results / f"real_clips/segments/{subset}.csv")
    official = read_segments(shared / f"tsp/activitynet/activitynet_v1-3_{subset}_tsp_groundtruth.csv.gz")
    official = official[official["video-name"].isin(VIDEOS)].reset_index(drop=True)
    assert len(official) == {"train": 1, "valid": 2}[subset]
    assert ours[OFFICIAL_ROWS].equals(official[OFFICIAL_ROWS])
    # Another ffmpeg may make one frame more or less of a video of 19.62 frames per second.
    assert (ours["video-frames"] - official["video-frames"]).abs().max() <= (0 if subset == "train" else 1)


@pytest.mark.parametrize(("subset", "run"), FEATURES.items())
def test_features(results, subset, run):
    row = read_metadata(results / f"real_clips/metadata/{subset}.csv").iloc[0]
    with FeatureFile(results / f"features/{run}/stride16/real_clips-{subset}.h5") as file:
        features = file[row["filename"].removesuffix(".mp4")]
        assert file.attributes["stride"] == 16
    # At 15 fps every second frame remains; then n = floor((N - 16) / 16) + 1 (420 frames: 13 clips).
    sampled = -(-row["video-frames"] // 2)
    assert features.shape == ((sampled - 16) // 16 + 1, 512)
    assert subset == "valid" or len(features) == 13
    assert features.std(axis=0).max() > 0


def test_predict_on_a_real_video(shared, tmp_path):
    """Foreground over time and its figure, with a full-size network whose weights are random."""
    torch.manual_seed(0)
    model = TspModel(r2plus1d_18(), {"action": 200, "region": 2})
    facts = {
        "encoder": asdict(EncoderConfig(factory="tsp.encoders.video_resnet:r2plus1d_18")),
        "run": {"heads": ["action", "region"]},
        "labels": [f"class {k}" for k in range(200)],
    }
    save_encoder(tmp_path / "encoder.safetensors", model.state_dict(), facts)
    arguments = ["--weights", str(tmp_path / "encoder.safetensors"), "--output", str(tmp_path / "out")]
    assert main(["predict", *arguments, str(shared / "real_videos/v_ZNVhz7ctTq0.mp4")]) == 0
    found = read_json(tmp_path / "out/prediction.json")
    assert len(found["foreground"]) == 13
    assert all(0 < p < 1 for p in found["foreground"])
    assert (tmp_path / "out/foreground.png").stat().st_size > 5000
    with FeatureFile(tmp_path / "out/features.h5") as file:
        assert file["v_ZNVhz7ctTq0"].shape == (13, 512)
