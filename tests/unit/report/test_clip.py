"""A video with its predictions below."""

import av
import numpy as np
import pytest

from tsp.errors import TspError
from tsp.io.annotations import write_annotations
from tsp.io.predictions import write_predictions
from tsp.report import clip
from tsp.types import Segment, Video
from tsp.video.decode import VideoReader

RATE, SECONDS = 30, 3


@pytest.fixture
def folder(tmp_path):
    """Two annotated videos, of which one is there: 64 x 48 pixels that brighten."""
    with av.open(str(tmp_path / "v_b.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"qp": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(RATE * SECONDS):
            picture = np.full((48, 64, 3), 2 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    segments = (Segment(start_s=0.5, end_s=1.5, label="jump"),)
    names = {name: {"filename": f"v_{name}.mp4", "subset": "validation"} for name in "ab"}
    videos = [Video(name=n, duration_s=float(SECONDS), segments=segments, **kind) for n, kind in names.items()]
    write_annotations(tmp_path / "annotations.json", videos)
    entry = {"segment": [0.4, 1.6], "score": 0.9, "label": "jump"}
    write_predictions(tmp_path / "p.json", {"b": [entry]}, version="x")
    return tmp_path


def overlay(folder, **more):
    files = (folder / "annotations.json", {"TSP": folder / "p.json"}, folder, folder / "o.mp4")
    clip.overlay_of_files(*files, subset="validation", **more)
    with VideoReader(folder / "o.mp4") as reader:
        return float(reader.fps), np.stack(list(reader.iterate()))


def cursor(frame):
    """Column of the cursor: where red is far above blue over the panel's whole height."""
    red = frame[..., 0].astype(int) - frame[..., 2]
    return int((red > 90).sum(0).argmax())


def test_picture_above_and_cursor_below(folder):
    fps, frames = overlay(folder, note="miniature")
    assert fps == clip.FPS
    assert frames.shape[0] == SECONDS * clip.FPS
    assert frames.shape[2] == clip.WIDTH
    # The picture at second t is frame 30 t, of grey value 60 t; it is enlarged by whole pixels.
    for t in (0.0, 1.0, 2.5):
        grey = frames[int(t * clip.FPS), 100:200, 280:360].mean()
        assert grey == pytest.approx(60 * t, abs=6)
    columns = [cursor(frame[400:]) for frame in frames]
    steps = np.diff(columns[1:])
    assert (steps > 0).all()
    assert steps.std() < 2


def test_the_chosen_video_must_be_there(folder):
    assert len(overlay(folder, name="b")[1])
    with pytest.raises(TspError, match="no annotated video a of subset 'validation'"):
        overlay(folder, name="a")


def test_long_videos_are_cut_and_wide_ones_thinned_out(folder, monkeypatch):
    monkeypatch.setattr(clip, "LONGEST_S", 1.0)
    monkeypatch.setattr(clip, "WIDTH", 32)
    monkeypatch.setattr(clip, "DPI", 10)
    _, frames = overlay(folder)
    assert len(frames) == clip.FPS
    assert frames.shape[2] == 32
