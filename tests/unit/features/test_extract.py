import json
import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from unit.pretrain.make import ENCODER, write_video

from tsp.encoders.build import load_encoder
from tsp.encoders.weights import save_encoder
from tsp.errors import TspError
from tsp.features import extract as module
from tsp.features.config import ExtractConfig
from tsp.features.extract import extract, extract_shard, padded_start
from tsp.io.features import FeatureFile
from tsp.io.files import sha256
from tsp.io.tables import LIST_COLUMNS, MANIFEST_COLUMNS, METADATA_COLUMNS, write_table
from tsp.video.clips import extraction_frames
from tsp.video.decode import VideoReader
from tsp.video.transforms import eval_transform

FRAMES = {"v_a.mp4": 100, "v_b.c.mp4": 64, "v_d.mp4": 40, "v_short.mp4": 20}
TINY = replace(ENCODER, factory="unit.features.test_extract:tiny")


def tiny():
    """Mean colour of each half of the clip: fast, and sensitive to every frame."""
    network = torch.nn.Module()
    network.feature_dim = 6
    network.twice = torch.nn.Linear(6, 6, bias=False)
    network.twice.weight.data = 2 * torch.eye(6)
    network.forward = lambda x: network.twice(x.unflatten(2, (2, -1)).mean((3, 4, 5)).flatten(1))
    return network


def write_manifest(path, frames, sums=None):
    columns = [*LIST_COLUMNS[:2], "status", "reason", "bytes", "sha256", *METADATA_COLUMNS[1:]]
    rows = [(name, name, "ok", "", 1, (sums or {}).get(name, ""), n / 30, 30.0, n) for name, n in frames.items()]
    rows.insert(1, ("gone", "v_gone.mp4", "gone", "HTTP 404", None, "", None, None, None))
    rows = [dict(zip(columns, row, strict=True)) for row in rows]
    write_table(pd.DataFrame(rows, columns=MANIFEST_COLUMNS).astype({"bytes": "Int64", "video-frames": "Int64"}), path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four videos at 30 fps, their metadata, and weights."""
    folder = tmp_path_factory.mktemp("extract")
    (folder / "videos").mkdir()
    for name, frames in FRAMES.items():
        write_video(folder / "videos" / name, frames, step=2)
    write_manifest(folder / "probe.csv", FRAMES)
    save_encoder(folder / "encoder.safetensors", tiny().state_dict(), {})
    return folder


def run(data, output, *, videos=None, stride=4, manifest=None, work=None, **options):
    config = ExtractConfig(**{k: v for k, v in options.items() if k not in ("workers", "encoder")})
    extract_shard(
        data / "encoder.safetensors",
        manifest or data / "probe.csv",
        videos or data / "videos",
        output,
        encoder=options.get("encoder", TINY),
        stride=stride,
        config=config,
        work=work or output.parent / "work",
        workers=options.get("workers", 0),
        device="cpu",
    )
    with FeatureFile(output) as file:
        return {name: file[name] for name in file.names}, file.attributes


def test_one_row_per_clip_in_the_order_of_the_table(data, tmp_path):
    found, facts = run(data, tmp_path / "f.h5")
    # 30 fps: N = F / 2 frames at 15 fps, floor((N - 16) / stride) + 1 clips; 20 frames are padded to one clip.
    assert {name: x.shape for name, x in found.items()} == {
        "v_a": (9, 6),
        "v_b.c": (5, 6),
        "v_d": (2, 6),
        "v_short": (1, 6),
    }
    assert list(found) == [name[:-4] for name in FRAMES]
    assert (facts["stride"], facts["fps"], facts["clip_length"], facts["tail"]) == (4, 15.0, 16, "drop")
    assert len(facts["weights_sha256"]) == 64
    assert facts["failed"] == "{}"


def test_features_are_the_encoder_s_of_the_clips(data, tmp_path):
    found, _ = run(data, tmp_path / "f.h5", batch_size=2)
    network = load_encoder(TINY.factory, data / "encoder.safetensors").eval()
    with VideoReader(data / "videos/v_a.mp4") as reader:
        clips = torch.from_numpy(np.stack([reader.frames(c) for c in extraction_frames(100, 30.0, 4)]))
    expected = network(eval_transform(clips, TINY)).detach().numpy()
    np.testing.assert_allclose(found["v_a"], expected, atol=1e-5)


def test_threads_change_no_bit(data, tmp_path):
    alone, _ = run(data, tmp_path / "a.h5", batch_size=2)
    threads, _ = run(data, tmp_path / "b.h5", batch_size=2, workers=3)
    assert list(alone) == list(threads)
    for name, x in alone.items():
        np.testing.assert_array_equal(x, threads[name])


def test_shards_join_to_the_whole(data, tmp_path):
    whole, _ = run(data, tmp_path / "f.h5")
    parts = {}
    names = list(FRAMES)
    for shard in range(2):
        manifest = write_manifest(tmp_path / f"{shard}.csv", {n: FRAMES[n] for n in names[2 * shard :][:2]})
        found, _ = run(data, tmp_path / f"{shard}.h5", manifest=manifest)
        assert len(found) == 2
        parts |= found
    assert list(parts) == list(whole)
    for name, x in whole.items():
        np.testing.assert_array_equal(x, parts[name])


def test_an_interrupted_shard_goes_on_and_ends_with_the_same_bits(data, tmp_path, monkeypatch):
    whole, _ = run(data, tmp_path / "whole.h5")
    calls = []
    forward = module._forward

    def dying(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(*args)

    monkeypatch.setattr(module, "_forward", dying)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "f.h5")
    assert not (tmp_path / "f.h5").exists()
    assert len(list((tmp_path / "work").rglob("*.npz"))) == 2
    again, _ = run(data, tmp_path / "f.h5")
    assert len(calls) == 3 + 2
    for name, x in whole.items():
        np.testing.assert_array_equal(x, again[name])
    assert not list((tmp_path / "work").rglob("*.npz"))


def test_finished_videos_of_other_options_are_not_taken(data, tmp_path, monkeypatch):
    forward = module._forward
    monkeypatch.setattr(module, "feature_writer", lambda *a: pytest.fail("stopped before writing"))
    with pytest.raises(pytest.fail.Exception):
        run(data, tmp_path / "f.h5", stride=4)
    monkeypatch.undo()
    calls = []
    monkeypatch.setattr(module, "_forward", lambda *a: calls.append(1) or forward(*a))
    run(data, tmp_path / "f.h5", stride=8)
    assert len(calls) == len(FRAMES)


@pytest.fixture
def interrupted(data, tmp_path, monkeypatch):
    """A shard with its videos whose extraction ended before the file was written; gives its folder."""
    shutil.copytree(data / "videos", tmp_path / "videos")
    monkeypatch.setattr(module, "feature_writer", lambda *a: pytest.fail("stopped before writing"))
    with pytest.raises(pytest.fail.Exception):
        run(data, tmp_path / "f.h5", videos=tmp_path / "videos")
    monkeypatch.undo()
    return tmp_path


def extracted(monkeypatch):
    """Paths of the videos of later extractions."""
    real, seen = module.extract, []
    monkeypatch.setattr(module, "extract", lambda paths, *a, **k: seen.extend(paths) or real(paths, *a, **k))
    return seen


def test_only_a_replaced_video_of_an_interrupted_shard_is_extracted_again(data, interrupted, monkeypatch):
    videos = interrupted / "videos"
    times = (videos / "v_d.mp4").stat()
    shutil.copy(videos / "v_b.c.mp4", videos / "v_d.mp4")
    # An old date, as of a copy that keeps it: the content counts.
    os.utime(videos / "v_d.mp4", ns=(times.st_atime_ns, times.st_mtime_ns - 10**12))
    seen = extracted(monkeypatch)
    found, _ = run(data, interrupted / "f.h5", videos=videos)
    assert seen == [videos / "v_d.mp4"]
    np.testing.assert_array_equal(found["v_d"], found["v_b.c"])
    clean, _ = run(data, interrupted / "clean.h5", videos=videos)
    assert list(found) == list(clean)
    for name, x in clean.items():
        np.testing.assert_array_equal(x, found[name])


def test_a_touched_video_of_an_interrupted_shard_is_not_extracted_again(data, interrupted, monkeypatch):
    later = time.time() + 1000
    os.utime(interrupted / "videos/v_d.mp4", (later, later))
    seen = extracted(monkeypatch)
    run(data, interrupted / "f.h5", videos=interrupted / "videos")
    assert seen == []


def test_finished_videos_without_a_checksum_are_extracted_again(data, interrupted, monkeypatch):
    path = next((interrupted / "work").rglob("v_a.npz"))
    np.savez(path, features=np.zeros((9, 6), np.float32))
    seen = extracted(monkeypatch)
    found, _ = run(data, interrupted / "f.h5", videos=interrupted / "videos")
    assert seen == [interrupted / "videos/v_a.mp4"]
    assert found["v_a"].any()


def test_a_damaged_video_is_told_and_the_others_are_kept(data, tmp_path):
    videos = tmp_path / "videos"
    shutil.copytree(data / "videos", videos)
    whole = (videos / "v_a.mp4").read_bytes()
    (videos / "v_a.mp4").write_bytes(whole[: len(whole) // 3])
    found, facts = run(data, tmp_path / "f.h5", videos=videos)
    assert "v_a" not in found
    assert len(found) == 3
    assert list(json.loads(facts["failed"])) == ["v_a.mp4"]
    assert facts["n_failed"] == 1


def test_a_video_that_is_not_the_manifest_s_is_an_error(data, tmp_path):
    sums = {name: sha256(data / "videos" / name) for name in FRAMES}
    run(data, tmp_path / "f.h5", manifest=write_manifest(tmp_path / "probe.csv", FRAMES, sums))
    manifest = write_manifest(tmp_path / "probe.csv", FRAMES, sums | {"v_d.mp4": "0" * 64})
    with pytest.raises(TspError, match=r"v_d\.mp4: not the video listed in .*probe\.csv; delete it"):
        run(data, tmp_path / "f.h5", manifest=manifest)


def test_damaged_features_of_an_interrupted_shard_are_found(data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "feature_writer", lambda *a: pytest.fail("stopped before writing"))
    with pytest.raises(pytest.fail.Exception):
        run(data, tmp_path / "f.h5")
    monkeypatch.undo()
    path = next((tmp_path / "work").rglob("v_a.npz"))
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(TspError, match=r"v_a\.npz: damaged .*delete it and run again"):
        run(data, tmp_path / "f.h5")


def test_a_missing_file_is_an_error(data, tmp_path):
    shutil.copytree(data / "videos", tmp_path / "videos")
    (tmp_path / "videos/v_d.mp4").unlink()
    with pytest.raises(TspError, match=r"v_d\.mp4: listed in .*, but missing"):
        run(data, tmp_path / "f.h5", videos=tmp_path / "videos")


def test_short_videos_by_policy(data, tmp_path):
    padded, _ = run(data, tmp_path / "a.h5", short="pad")
    # Ten frames at 15 fps, grey 0, 4, ... 36; the last one is repeated six times.
    grey = np.minimum(np.arange(16), 9) * 4 / 255
    halves = 2 * np.repeat([grey[:8].mean(), grey[8:].mean()], 3).reshape(2, 3).T.ravel()
    np.testing.assert_allclose(padded["v_short"][0], halves, atol=1e-5)
    skipped, facts = run(data, tmp_path / "b.h5", short="skip")
    assert "v_short" not in skipped
    assert "shorter than one clip" in json.loads(facts["failed"])["v_short.mp4"]


def test_the_tail_by_policy(data, tmp_path):
    dropped, _ = run(data, tmp_path / "a.h5", stride=16)
    padded, facts = run(data, tmp_path / "b.h5", stride=16, tail="pad")
    assert [len(x) for x in dropped.values()] == [3, 2, 1, 1]
    assert [len(x) for x in padded.values()] == [4, 2, 2, 1]
    assert facts["tail"] == "pad"
    np.testing.assert_array_equal(padded["v_a"][:3], dropped["v_a"])


@pytest.mark.parametrize(
    ("frames", "stride", "tail", "start"),
    [(64, 16, "pad", None), (66, 16, "pad", 32), (66, 16, "drop", None), (66, 1, "pad", None), (90, 20, "pad", 40),
     (74, 40, "pad", None), (20, 16, "drop", 0), (0, 16, "drop", None)],
)  # fmt: skip
def test_where_the_padded_clip_starts(frames, stride, tail, start):
    assert padded_start(frames, 30.0, stride, TINY, ExtractConfig(tail=tail)) == start


def test_half_precision_only_where_asked_for(data, tmp_path):
    full, _ = run(data, tmp_path / "a.h5")
    half, facts = run(data, tmp_path / "b.h5", amp="bf16")
    assert facts["amp"] == "bf16"
    assert half["v_a"].dtype == np.float32
    np.testing.assert_array_equal(half["v_a"], torch.from_numpy(full["v_a"]).bfloat16().float().numpy())


def test_batches_filled_across_videos_give_the_same_features(data):
    network = load_encoder(TINY.factory, data / "encoder.safetensors").eval()
    paths = [data / "videos" / name for name in FRAMES]
    damaged = data / "damaged.mp4"
    damaged.write_bytes(paths[0].read_bytes()[:3000])
    sizes = []
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))

    def found(mix):
        sizes.clear()
        config = ExtractConfig(batch_size=4)
        items = extract([*paths[:2], damaged, *paths[2:]], network, TINY, stride=4, config=config, mix=mix)
        return dict(items), list(sizes)

    (alone, _), (mixed, batches) = found(False), found(True)
    # 9 + 5 + 2 + 1 clips; the damaged video gives none.
    assert batches == [4, 4, 4, 4, 1]
    assert alone.keys() == mixed.keys() == {0, 1, 2, 3, 4}
    assert isinstance(alone.pop(2), TspError) and isinstance(mixed.pop(2), TspError)
    for number, features in alone.items():
        np.testing.assert_allclose(mixed[number], features, atol=1e-6)
