"""The rendered video: every frame there, the cursor moving with time."""

import numpy as np
import pytest
from unit.video.make import write_video

from tsp.errors import TspError
from tsp.io.annotations import write_annotations
from tsp.io.predictions import write_predictions
from tsp.report.overlay_video import STRIP, WIDTH, overlay_of_files
from tsp.types import Segment, Video
from tsp.video.decode import VideoReader


@pytest.fixture
def files(tmp_path):
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos/v_-a.mp4", 60)
    actions = (Segment(start_s=0.2, end_s=0.8, label="run"), Segment(start_s=1.0, end_s=1.5, label="run"))
    video = Video(name="-a", filename="v_-a.mp4", subset="validation", duration_s=2.0, segments=actions)
    write_annotations(tmp_path / "a.json", [video])
    found = {"-a": [{"segment": [0.2, 0.7], "score": 0.9, "label": "run"}]}
    write_predictions(tmp_path / "p.json", found, version="x")
    return tmp_path


def render(files, **options):
    arguments = (files / "a.json", {"TSP": files / "p.json"}, files / "videos", files / "out.mp4")
    overlay_of_files(*arguments, subset="validation", **options)
    return files / "out.mp4"


def cursor(frame):
    """Column of the reddest pixels in the strip."""
    strip = frame[-STRIP:].astype(int)
    return int((strip[..., 0] - strip[..., 1] - strip[..., 2]).mean(axis=0).argmax())


def test_every_frame_with_a_moving_cursor(files):
    with VideoReader(render(files)) as reader:
        assert (reader.n_frames, reader.fps) == (60, 30)
        assert reader.width >= WIDTH
        assert reader.height > STRIP
        places = [cursor(frame) for frame in reader.frames([0, 30, 59])]
    assert places[0] < places[1] < places[2]
    assert np.isclose(places[1] - places[0], places[2] - places[1], atol=0.1 * reader.width)


def test_no_such_video_or_file(files):
    with pytest.raises(TspError, match="no video 'b' in subset 'validation'"):
        render(files, name="b")
    (files / "videos/v_-a.mp4").unlink()
    with pytest.raises(TspError, match=r"v_-a\.mp4"):
        render(files, name="-a")
    assert not (files / "out.mp4").exists()
