"""Frames by number, and errors for damaged, truncated and other files."""

import pickle

import numpy as np
import pytest
from unit.video.make import HEIGHT, WIDTH, numbers_of, write_sound, write_video

from tsp.errors import TspError
from tsp.video.decode import ReaderPool, VideoReader

KINDS = {
    "plain": {"b_frames": 0, "gop": 10},
    "b_frames": {"b_frames": 3, "gop": 30},
    "pyramid": {"b_frames": 7, "gop": 250, "options": {"x264-params": "b-pyramid=normal:b-adapt=0:scenecut=0"}},
    "open_gop": {"b_frames": 3, "gop": 12, "options": {"x264-params": "open-gop=1:b-adapt=0:scenecut=0"}},
    "all_key_frames": {"b_frames": 0, "gop": 1},
    "sound": {"sound": True},
    "slow": {"fps": 10},
    "uneven": {"times_ms": np.cumsum(np.random.default_rng(0).integers(20, 51, 75)).tolist()},
}


@pytest.fixture(scope="module", params=KINDS)
def path(request, tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("decode") / f"{request.param}.mp4", 75, **KINDS[request.param])


def test_all_frames_in_order(path):
    with VideoReader(path) as reader:
        assert reader.n_frames == 75
        assert numbers_of(reader.iterate()) == list(range(75))


def test_some_frames_in_order(path):
    with VideoReader(path) as reader:
        assert numbers_of(reader.iterate({40, 2, 73})) == [2, 40, 73]


def test_single_frames_in_random_order(path):
    with VideoReader(path) as reader:
        for k in np.random.default_rng(1).permutation(75)[:25].tolist():
            assert numbers_of(reader.frames([k])) == [k]


def test_several_frames_with_repeats(path):
    wanted = [3, 3, 4, 20, 41, 41, 74]
    with VideoReader(path) as reader:
        found = reader.frames(wanted)
        assert found.shape == (7, HEIGHT, WIDTH, 3)
        assert found.dtype == np.uint8
        assert numbers_of(found) == wanted


def test_by_number_is_bit_equal_to_in_order(path):
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(reader.frames(np.arange(75)), np.stack(list(reader.iterate())))


def test_reading_may_stop_and_start_again(path):
    with VideoReader(path) as reader:
        for _, _ in zip(range(7), reader.iterate(), strict=False):
            pass
        assert numbers_of(reader.frames([50])) == [50]
        assert numbers_of(reader.iterate()) == list(range(75))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    # The index comes first, so that half of the file can be opened.
    path = tmp_path_factory.mktemp("damaged") / "whole.mp4"
    return write_video(path, 100, gop=20, muxer={"movflags": "faststart"})


def test_rate_and_size(whole):
    with VideoReader(whole) as reader:
        assert (reader.fps, reader.height, reader.width) == (30, HEIGHT, WIDTH)


@pytest.mark.parametrize("wanted", [[-1], [100], [5, 100], [-2, 5]])
def test_numbers_outside_the_video(whole, wanted):
    with VideoReader(whole) as reader, pytest.raises(TspError, match=r"whole\.mp4: frame (-\d|100) of 100"):
        reader.frames(wanted)


def test_random_access_decodes_from_the_nearest_key_frame_only(whole, monkeypatch):
    decoded = []
    with VideoReader(whole) as reader:
        decode = reader._container.decode

        class Counted:
            def __getattr__(self, name):
                return getattr(container, name)

            def decode(self, stream):
                for frame in decode(stream):
                    decoded.append(frame.pts)
                    yield frame

        container, reader._container = reader._container, Counted()
        assert numbers_of(reader.frames([67])) == [67]
    # Key frames are 20 apart.
    assert len(decoded) <= 67 - 60 + 1


def test_no_frames_wanted(whole):
    with VideoReader(whole) as reader:
        assert reader.frames([]).shape == (0, HEIGHT, WIDTH, 3)


def test_colours_are_red_green_blue(tmp_path):
    import av

    with av.open(str(tmp_path / "red.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        picture = np.zeros((32, 32, 3), np.uint8)
        picture[..., 0] = 255
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    with VideoReader(tmp_path / "red.mp4") as reader:
        red, green, blue = reader.frames([0])[0].mean(axis=(0, 1))
    assert red > 200 > 50 > max(green, blue)


def cut(whole, tmp_path, share):
    data = whole.read_bytes()
    half = tmp_path / "half.mp4"
    half.write_bytes(data[: int(len(data) * share)])
    return half


def test_half_a_file_is_damaged(whole, tmp_path):
    half = cut(whole, tmp_path, 0.6)
    with VideoReader(half) as reader:
        assert numbers_of(reader.frames([0])) == [0]
        with pytest.raises(TspError, match=r"half\.mp4"):
            reader.frames([95])


def test_garbage_in_the_middle(whole, tmp_path):
    data = bytearray(whole.read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 1500] = bytes(1500)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    with VideoReader(broken) as reader, pytest.raises(TspError, match=r"broken\.mp4: damaged: \d+ of 100 frames"):
        list(reader.iterate())


@pytest.mark.parametrize("content", [b"", b"<html>no video</html>", b"\x00" * 5000])
def test_files_that_are_no_video(tmp_path, content):
    path = tmp_path / "no.mp4"
    path.write_bytes(content)
    with pytest.raises(TspError, match=r"no\.mp4: cannot be opened as a video"):
        VideoReader(path)


def test_missing_file(tmp_path):
    with pytest.raises(TspError, match=r"absent\.mp4: cannot be opened"):
        VideoReader(tmp_path / "absent.mp4")


def test_sound_only(tmp_path):
    with pytest.raises(TspError, match="has no video stream"):
        VideoReader(write_sound(tmp_path / "sound.mp4"))


@pytest.mark.parametrize(
    "name", ["-dash.mp4", "a:b.mp4", "http:x.mp4", "with space.mp4", 'quote\'s "two".mp4', "ünï.mp4"]
)
def test_odd_names(whole, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(whole.read_bytes())
    with VideoReader(name) as reader:
        assert numbers_of(reader.frames([42])) == [42]


def test_pool_closes_the_least_recently_used(tmp_path):
    paths = [tmp_path / f"{k}.mp4" for k in range(3)]
    for k, path in enumerate(paths):
        write_video(path, 5 + k)
    pool = ReaderPool(2)
    first = pool.get(paths[0])
    second = pool.get(paths[1])
    assert pool.get(paths[0]) is first
    pool.get(paths[2])
    assert pool.get(paths[0]) is first
    assert pool.get(paths[1]) is not second
    assert [pool.get(path).n_indexed for path in paths] == [5, 6, 7]


def test_pool_travels_without_its_files(tmp_path):
    write_video(tmp_path / "a.mp4", 5)
    pool = ReaderPool(2)
    reader = pool.get(tmp_path / "a.mp4")
    copy = pickle.loads(pickle.dumps(pool))  # noqa: S301
    assert copy.get(tmp_path / "a.mp4") is not reader
    assert numbers_of(copy.get(tmp_path / "a.mp4").frames([1, 4])) == [1, 4]


def test_index_of_the_container_equals_the_packets(tmp_path):
    for name, options in {
        "even.mp4": {},
        "sound.mp4": {"sound": True},
        "uneven.mkv": {"times_ms": [0, 30, 90, 120]},
    }.items():
        write_video(tmp_path / name, 4, **options)
        with VideoReader(tmp_path / name) as reader:
            assert list(reader._container_index()) == reader._index()
            assert reader.n_indexed == reader.n_frames == 4
