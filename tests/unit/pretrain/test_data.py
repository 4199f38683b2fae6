import dataclasses
import logging

import numpy as np
import pytest
import torch
from unit.pretrain.make import ENCODER, LABELS, make_set, row, write_segments, write_video

from tsp.errors import TspError
from tsp.pretrain.config import RunConfig
from tsp.pretrain.data import ClipDataset, network_input
from tsp.training.loader import to_device
from tsp.video.transforms import eval_transform, random_view, train_transform

RUN = RunConfig(encoder="tiny")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("clips"))


def clips(files, *, training=False, gvf=None, run=RUN, **changes):
    run = dataclasses.replace(run, **changes)
    return ClipDataset(**files, run=run, encoder=ENCODER, labels=LABELS, training=training, gvf=gvf)


def seen(item):
    """The clip as the network gets it, `[3, L, h, w]`."""
    return network_input(ClipDataset.collate([item]), ENCODER)[0]


def first_frame(item):
    """Number of the first frame, from its brightness (twice the number, of 255)."""
    return round(float(seen(item)[:, 0].mean()) * 255 / 2)


def test_validation_spreads_the_clips_over_the_segment(files):
    data = clips(files)
    assert len(data) == 4 * 5
    # The action lies in [2, 4] s; the last clip starts at 4 - 16/15 s, in frame 88.
    shares = np.linspace(0, 1, 5) * (2 - 16 / 15)
    assert [data.start_s(4 * k, 1.0) for k in range(5)] == [pytest.approx(4 - 16 / 15)] * 5
    numbers = [first_frame(data[4 * k]) for k in range(5)]
    assert numbers == [int((2 + s) * 30 + 1e-6) for s in shares] == [60, 67, 74, 81, 88]


def test_a_clip_is_every_second_frame(files):
    clip = seen(clips(files)[0])
    assert clip.shape == (3, 16, 16, 16) and str(clip.dtype) == "torch.float32"
    numbers = (clip.mean(dim=(0, 2, 3)) * 255 / 2).round().tolist()
    assert numbers == list(range(60, 92, 2))


def test_labels_and_missing_action(files):
    data = clips(files)
    assert [(data[i]["action"], data[i]["region"]) for i in range(4)] == [(0, 0), (1, 0), (-1, 1), (-1, 1)]
    assert "region" not in clips(files, heads=("action",))[0]


def test_training_clips_depend_on_seed_epoch_and_item_only(files):
    def drawn(epoch, seed=0):
        data = clips(files, training=True, trainer=dataclasses.replace(RUN.trainer, seed=seed))
        data.set_epoch(epoch)
        return [first_frame(data[i]) for i in (0, 4, 8)]

    assert drawn(1) == drawn(1)
    assert len({tuple(d) for d in (drawn(0), drawn(1), drawn(0, seed=1))}) == 3
    assert all(60 <= k <= 88 for k in drawn(0)) and len(set(drawn(0))) == 3


def test_memory_gives_the_same_clips(files, caplog):
    caplog.set_level(logging.INFO)
    cached = clips(files, cache="memory")
    assert sorted(cached.cache) == ["v_0.mp4", "v_1.mp4"] and "2 videos held in memory" in caplog.text
    plain = clips(files)
    assert all((cached[i]["frames"] == plain[i]["frames"]).all() for i in range(4))
    assert clips(files, cache="memory", cache_gb=1e-6).cache == {} and "nothing is cached" in caplog.text


def test_global_features_come_with_their_video(files):
    gvf = {"v_0.mp4": np.float32([1, 2]), "v_1.mp4": np.float32([3, 4])}
    data = clips(files, gvf=gvf)
    assert [data[i]["gvf"].tolist() for i in range(4)] == [[1, 2], [3, 4], [1, 2], [3, 4]]
    with pytest.raises(TspError, match=r"v_1\.mp4: no global video feature"):
        clips(files, gvf={"v_0.mp4": np.float32([1, 2])})


def one_row(files, tmp_path, *values, **options):
    return {**files, "segments": write_segments(tmp_path / "s.csv", [row(*values, **options)])}


def test_unknown_label_missing_video_and_empty_set_are_told(files, tmp_path):
    with pytest.raises(TspError, match=r"v_0\.mp4 at 0\.0 s: action-label 'swim' is none of the 2 labels"):
        clips(one_row(files, tmp_path, "v_0.mp4", 0.0, 3.0, "swim"))
    with pytest.raises(TspError, match=r"v_9\.mp4: no such video"):
        clips(one_row(files, tmp_path, "v_9.mp4", 0.0, 3.0, "run"))
    with pytest.raises(TspError, match="none of 1 segments is as long as a clip"):
        clips(one_row(files, tmp_path, "v_0.mp4", 0.0, 1.0, "run"))


def test_missing_videos_are_left_out_up_to_a_share(tmp_path, caplog):
    (tmp_path / "videos").mkdir()
    names = [f"v_{k}.mp4" for k in range(25)]
    for name in names[3:]:
        (tmp_path / "videos" / name).write_bytes(b"never opened here")
    segments = write_segments(tmp_path / "s.csv", [row(name, 0.0, 3.0, "run") for name in names])
    files = {"segments": segments, "videos": tmp_path / "videos"}
    with pytest.raises(TspError, match=r"3 of 25 videos are missing.*max_missing \(0\.1\)"):
        clips(files, max_missing=0.1)
    data = clips(files, max_missing=0.12)
    assert set(data.filenames) == set(names[3:])
    assert "3 of 25 videos are missing" in caplog.text


def test_video_shorter_than_stated(files, tmp_path, caplog):
    short = one_row(files, tmp_path, "v_0.mp4", 2.0, 4.2, "run", frames=126)
    item = clips(short)[4]
    assert (item["frames"][-1] == item["frames"][-2]).all() and "last frame is repeated" in caplog.text
    with pytest.raises(TspError, match=r"v_0\.mp4: a clip needs frame 124, the video has 120"):
        clips(short, short_clips="error")[4]
    beyond = one_row(files, tmp_path, "v_0.mp4", 5.0, 7.0, "run", frames=240)
    with pytest.raises(TspError, match="the video has 120"):
        clips(beyond)[0]


def test_unreadable_video_is_named(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/v_0.mp4").write_bytes(b"no video")
    files = {"segments": write_segments(tmp_path / "s.csv", [row("v_0.mp4", 0.0, 3.0, "run")])}
    with pytest.raises(TspError, match=r"v_0\.mp4"):
        clips({**files, "videos": tmp_path / "videos"})[0]


def test_name_with_dots(tmp_path):
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos/a.b.mp4", 60)
    segments = write_segments(tmp_path / "s.csv", [row("a.b.mp4", 0.0, 2.0, "run", frames=60)])
    data = clips({"segments": segments, "videos": tmp_path / "videos"}, gvf={"a.b.mp4": np.float32([1])})
    assert data[0]["gvf"].tolist() == [1]


def test_a_batch_of_videos_of_several_sizes_is_transformed_clip_by_clip():
    generator = torch.Generator().manual_seed(0)
    sizes = [(20, 30), (24, 18), (20, 30)]
    frames = [torch.randint(256, (4, *size, 3), dtype=torch.uint8, generator=generator) for size in sizes]
    views = [random_view(ENCODER, np.random.default_rng(k), flip=0.5) for k in range(3)]
    items = [
        {"frames": clip, "view": view, "action": k} for k, (clip, view) in enumerate(zip(frames, views, strict=True))
    ]
    batch = ClipDataset.collate(items)
    assert batch["action"].tolist() == [0, 1, 2]
    expected = [train_transform(clip, ENCODER, view) for clip, view in zip(frames, views, strict=True)]
    assert torch.equal(network_input(batch, ENCODER), torch.stack(expected))
    del batch["view"]
    assert torch.equal(network_input(batch, ENCODER), torch.stack([eval_transform(clip, ENCODER) for clip in frames]))


@pytest.mark.gpu
def test_a_gpu_transforms_as_the_cpu_does():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    frames = [torch.randint(256, (4, 240, 320, 3), dtype=torch.uint8) for _ in range(2)]
    batch = {"frames": frames, "view": [random_view(ENCODER, np.random.default_rng(k), flip=0.5) for k in range(2)]}
    found = network_input(to_device(batch, torch.device("cuda")), ENCODER).cpu()
    torch.testing.assert_close(found, network_input(batch, ENCODER), rtol=0, atol=1e-5)
