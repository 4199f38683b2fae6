"""Clips from one pass equal clips cut one by one."""

import pytest
import torch
from unit.video.make import number_of, write_video

from tsp.encoders.config import EncoderConfig
from tsp.errors import TspError
from tsp.video.clips import extraction_frames
from tsp.video.decode import VideoReader
from tsp.video.stream import stream_clips
from tsp.video.transforms import eval_transform, prepare_frames

LOOK = EncoderConfig(
    factory="tsp.encoders.video_resnet:r2plus1d_tiny",
    resize=(40, 52),
    crop=32,
    mean=(0.4, 0.4, 0.4),
    std=(0.2, 0.2, 0.2),
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    return {fps: write_video(folder / f"{fps}.mp4", 110, fps=fps, gop=30) for fps in (10, 25, 30)}


def prepare(frames):
    return prepare_frames(frames, LOOK)


def raw(frames):
    return frames.movedim(-1, -3)


@pytest.mark.parametrize("fps", [10, 25, 30])
@pytest.mark.parametrize("stride", [1, 16])
def test_equal_to_clips_cut_one_by_one(videos, fps, stride):
    with VideoReader(videos[fps]) as reader:
        rows = extraction_frames(reader.n_frames, float(reader.fps), stride)
        some = range(0, len(rows), 1 if stride > 1 else 5)
        expected = [eval_transform(torch.from_numpy(reader.frames(rows[k])), LOOK) for k in some]
    found = torch.cat(list(stream_clips(videos[fps], prepare, stride=stride, batch_size=4)))
    assert len(found) == len(rows) > 0
    assert torch.equal(found[list(some)], torch.stack(expected))


@pytest.mark.parametrize("fps", [10, 25, 30])
@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_batches_are_full_but_for_the_last(videos, fps, batch_size):
    sizes = [len(batch) for batch in stream_clips(videos[fps], raw, stride=1, batch_size=batch_size)]
    n = len(extraction_frames(110, fps, 1))
    assert sizes == [batch_size] * (n // batch_size) + [n % batch_size] * (n % batch_size > 0)


def test_clips_hold_the_frames_that_they_should(videos):
    (batch,) = stream_clips(videos[30], raw, stride=16, batch_size=8)
    found = [[number_of(frame.movedim(0, -1)) for frame in clip.movedim(0, 1)] for clip in batch]
    assert found == extraction_frames(110, 30.0, 16).tolist()


def test_each_frame_is_transformed_once(videos):
    seen = []

    def counted(frames):
        seen.extend(number_of(frame) for frame in frames)
        return raw(frames)

    list(stream_clips(videos[30], counted, stride=1, batch_size=8))
    assert seen == list(range(0, 110, 2))


def test_frames_between_clips_are_not_transformed(videos):
    seen = []

    def counted(frames):
        seen.extend(number_of(frame) for frame in frames)
        return raw(frames)

    list(stream_clips(videos[30], counted, stride=30, batch_size=8))
    assert seen == [*range(0, 32, 2), *range(60, 92, 2)]


def test_a_video_shorter_than_a_clip_has_none(tmp_path):
    path = write_video(tmp_path / "short.mp4", 30)
    assert list(stream_clips(path, raw, stride=1, batch_size=8)) == []
    write_video(path, 31)
    assert [len(batch) for batch in stream_clips(path, raw, stride=1, batch_size=8)] == [1]


def test_other_clip_lengths(videos):
    found = torch.cat(list(stream_clips(videos[30], raw, stride=5, batch_size=2, clip_length=4, clip_fps=7.5)))
    first = [number_of(clip[:, 0].movedim(0, -1)) for clip in found]
    last = [number_of(clip[:, -1].movedim(0, -1)) for clip in found]
    assert (first, last) == ([0, 20, 40, 60, 80], [12, 32, 52, 72, 92])


def test_a_damaged_video_is_told(tmp_path):
    path = write_video(tmp_path / "broken.mp4", 110, muxer={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    middle = (len(data) + data.index(b"mdat")) // 2
    data[middle : middle + 1500] = bytes(1500)
    path.write_bytes(data)
    with pytest.raises(TspError, match=r"broken\.mp4: damaged"):
        list(stream_clips(path, raw, stride=1, batch_size=8))
