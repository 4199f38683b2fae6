"""Sound: resampling, log-mel patches, features in files."""

import json
import struct
import tracemalloc
import wave

import numpy as np
import pandas as pd
import pytest
import torch

from tsp.caption.audio import Resampler, Vggish, extract_sound, log_mel, patches, sound_features, statistics
from tsp.encoders.weights import save_encoder
from tsp.errors import TspError
from tsp.io.features import FeatureFile
from tsp.io.tables import METADATA_COLUMNS, write_table
from tsp.video.sound import SoundReader


def resample(samples, rate, blocks=1):
    """All at once, or in blocks."""
    resampler = Resampler(rate)
    return np.concatenate([*map(resampler.push, np.array_split(samples, blocks)), resampler.end()])


def listen(path, **options):
    with SoundReader(path, **options) as reader:
        return np.concatenate(list(reader.mono())), reader.rate


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_resampling_keeps_a_tone(rate):
    t = np.arange(rate) / rate
    found = resample(np.sin(2 * np.pi * 1000 * t + 0.3), rate)
    assert len(found) == 16_000
    expected = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000 + 0.3)
    np.testing.assert_allclose(found[500:-500], expected[500:-500], rtol=0, atol=1e-3)


def test_resampling_removes_what_16_khz_cannot_hold():
    t = np.arange(44_100) / 44_100
    assert np.abs(resample(np.sin(2 * np.pi * 12_000 * t), 44_100)[500:-500]).max() < 1e-3


def test_resampling_of_nothing():
    assert len(resample(np.zeros(0), 44_100)) == 0
    assert len(resample(np.zeros(1), 44_100)) == 0
    np.testing.assert_array_equal(resample(np.arange(5.0), 16_000), np.arange(5.0))


def reference(samples, rate):
    """The resampling of earlier versions, sample by sample from its definition."""
    scale = min(1.0, 16_000 / rate)
    n = np.arange(len(samples))
    out = np.empty(len(samples) * 16_000 // rate)
    for j in range(len(out)):
        t = scale * (n - j * rate / 16_000)
        inside = np.abs(t) <= 50
        window = np.i0(12.9846 * np.sqrt(np.maximum(0, 1 - (t[inside] / 50) ** 2))) / np.i0(12.9846)
        out[j] = samples[inside] @ (scale * 0.91734737 * np.sinc(0.91734737 * t[inside]) * window)
    return out


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_is_its_definition(rate):
    samples = np.random.default_rng(rate).normal(size=3000) * 0.1
    np.testing.assert_allclose(resample(samples, rate), reference(samples, rate), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rate", "blocks"), [(8_000, 2), (11_025, 37), (16_000, 5), (44_100, 37), (48_000, 2)])
def test_blocks_change_nothing(rate, blocks):
    """Sound longer than the blocks that it is read in gives the patches of all of it, to far less than 1e-6."""
    samples = np.random.default_rng(rate).normal(size=rate * 95 + 123) * 0.1
    whole = resample(samples, rate)
    np.testing.assert_allclose(resample(samples, rate, blocks), whole, rtol=0, atol=1e-12)
    found = np.concatenate(list(patches(np.array_split(samples, blocks), rate)))
    np.testing.assert_allclose(found, log_mel(whole), rtol=0, atol=1e-11)


def test_patches_are_consecutive():
    noise = np.random.default_rng(0).normal(size=3 * 15_360 + 240)
    whole = log_mel(noise)
    assert whole.shape == (3, 96, 64)
    np.testing.assert_array_equal(log_mel(noise[15_360:]), whole[1:])


def test_statistics_are_those_of_each_band():
    patches = np.random.default_rng(0).normal(size=(2, 96, 64))
    found = statistics(patches)
    np.testing.assert_allclose(found[1, 5], patches[1, :, 5].mean(), rtol=1e-6)
    np.testing.assert_allclose(found[1, 64 + 5], patches[1, :, 5].std(), rtol=1e-6)


def test_vggish_flattens_time_band_channel():
    with torch.device("meta"):
        model = Vggish()
    model.features = torch.nn.Identity()
    model.embeddings = torch.nn.Identity()
    maps = torch.arange(2 * 3 * 4).view(1, 2, 3, 4)
    model.features.forward = lambda x: maps
    assert model(torch.zeros(1, 96, 64))[0, :4].tolist() == [0, 12, 1, 13]


def wav(path, samples, rate=16_000, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def test_channels_are_averaged(tmp_path):
    wav(tmp_path / "a.wav", [1000, 3000, -2000, 0], 44_100, channels=2)
    samples, rate = listen(tmp_path / "a.wav")
    assert rate == 44_100
    np.testing.assert_array_equal(samples, np.array([2000, -1000]) / 32768)


def test_real_sound(shared):
    path = shared / "real_videos/v_ZNVhz7ctTq0.mp4"
    samples, rate = listen(path)
    assert rate == 44_100
    assert 0.01 < samples.std() < 0.5
    expected = log_mel(resample(samples, rate))
    assert len(expected) == int(len(samples) / rate / 0.96)
    np.testing.assert_allclose(sound_features(path, statistics), statistics(expected), rtol=0, atol=1e-6)


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Five minutes of sound are 115 MB of samples as float64; resampling them at once would take 40 GB."""
    noise = np.random.default_rng(0).integers(-9000, 9000, 48_000).astype(np.int16)
    with wave.open(str(tmp_path / "long.wav"), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        for _ in range(300):
            file.writeframes(noise.tobytes())
    tracemalloc.start()
    found = sound_features(tmp_path / "long.wav", statistics)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == (300 * 16_000 - 400 + 160) // 15_360
    assert peak < 100e6


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    wav(tmp_path / "long.wav", rng.integers(-9000, 9000, 40_000).tolist())
    wav(tmp_path / "short.wav", rng.integers(-9000, 9000, 9_000).tolist())
    (tmp_path / "garbage.mp4").write_bytes(b"no video")
    rows = [[name, 2.0, 30.0, 60] for name in ("long.wav", "short.wav", "garbage.mp4")]
    write_table(pd.DataFrame(rows, columns=METADATA_COLUMNS), tmp_path / "metadata.csv")
    return tmp_path


def extract(folder, **changes):
    options = {"kind": "statistics", "weights": None, "shard": 0, "shards": 1, "shard_size": 10} | changes
    extract_sound(folder / "metadata.csv", folder, folder / "out.h5", **options)
    with FeatureFile(folder / "out.h5") as file:
        return {name: file[name] for name in file.names}, file.attributes


def test_extraction_tells_what_has_no_sound(folder):
    found, facts = extract(folder)
    assert {name: rows.shape for name, rows in found.items()} == {"long": (2, 128), "short": (0, 128)}
    assert list(json.loads(facts["failed"])) == ["garbage.mp4"]
    assert "substitute" in facts["encoder"]
    assert facts["stride"] / facts["fps"] == pytest.approx(0.96)


def test_extraction_with_vggish(folder, monkeypatch):
    class Tiny(Vggish):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.features = torch.nn.Conv2d(1, 2, 16, stride=16)
            self.embeddings = torch.nn.Sequential(torch.nn.Linear(48, 128), torch.nn.ReLU())

    monkeypatch.setattr("tsp.caption.audio.Vggish", Tiny)
    save_encoder(folder / "w.safetensors", Tiny().state_dict(), {})
    found, facts = extract(folder, kind="vggish", weights=folder / "w.safetensors")
    assert found["long"].shape == (2, 128)
    assert found["long"].min() >= 0
    assert facts["encoder"] == "VGGish"


@pytest.mark.parametrize("changes, message", [({"kind": "mfcc"}, "unknown"), ({"kind": "vggish"}, "weights")])
def test_extraction_refuses(folder, changes, message):
    with pytest.raises(TspError, match=message):
        extract(folder, **changes)


def test_silent_video(tmp_path):
    """A file without a sound stream is listed as failed; it is not an error."""
    import av

    with av.open(str(tmp_path / "mute.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))))
        container.mux(stream.encode())
    assert sound_features(tmp_path / "mute.mp4", statistics) is None
