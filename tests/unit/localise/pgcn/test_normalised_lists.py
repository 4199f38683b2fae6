"""Lists whose times are shares of the video."""

import pytest

from tsp.errors import TspError
from tsp.localise.pgcn.data import annotated_lengths
from tsp.localise.pgcn.proposal_lists import read_list
from tsp.types import Video

# The public layout: no number of frames (1), times as shares.
BLOCK = """# 1
path/video_a
1
1
1
2 0.1000 0.4000
3
2 0.8333 0.8824 0.1200 0.4600
2 0.3000 0.9000 0.3000 0.4100
0 0.0000 0.0000 0.6000 0.9000
"""


def written(tmp_path, text=BLOCK):
    path = tmp_path / "list.txt"
    path.write_text(text)
    return path


def test_shares_become_frames_of_the_annotated_length(tmp_path):
    (video,) = read_list(written(tmp_path), normalised=True, frames={"video_a": 999})
    # int(share * N)
    assert video.n_frames == 999 and video.fps is None
    assert video.instances.tolist() == [[99, 399]]
    assert video.segments.tolist() == [[119, 459], [299, 409], [599, 899]]
    assert video.coverage == pytest.approx([340 / 999, 110 / 999, 300 / 999])


def test_the_length_that_the_list_states_counts(tmp_path):
    path = written(tmp_path, BLOCK.replace("video_a\n1\n", "video_a\n500\n"))
    (video,) = read_list(path, normalised=True, frames={"video_a": 999})
    assert video.n_frames == 500 and video.segments[0].tolist() == [60, 230]


def test_shares_without_a_length_are_refused(tmp_path):
    with pytest.raises(TspError, match=r"block 0 \(video_a\): neither the list nor the annotations state its number"):
        read_list(written(tmp_path), normalised=True, frames={"video_b": 10})


def test_shares_are_not_taken_for_frames(tmp_path):
    with pytest.raises(TspError, match=r"times are shares of the video, not frames; set normalised_lists: true"):
        read_list(written(tmp_path))


def test_lengths_of_annotations():
    def video(name, seconds, **extra):
        return Video(name=name, filename=f"v_{name}.mp4", subset="s", duration_s=seconds, segments=(), extra=extra)

    videos = [video("a", 10.0), video("b", 10.0, frames=240), video("c", None)]
    assert annotated_lengths(videos, None) == {"a": 300, "v_a": 300, "b": 240, "v_b": 240}
    assert annotated_lengths(videos, 25.0)["a"] == 250
