"""Released feature files: fetched, checked, their facts stated."""

import h5py
import numpy as np
import pytest

from tsp.encoders.config import EncoderConfig
from tsp.errors import TspError
from tsp.features.released import fetch_features
from tsp.io.features import FeatureFile
from tsp.io.files import sha256

ENCODER = EncoderConfig(factory="tsp.encoders.video_resnet:r2plus1d_tiny")


def released(path, **entries):
    """A file as released: chunked, gzip 9, no attributes."""
    with h5py.File(path, "w") as file:
        for name, array in entries.items():
            file.create_dataset(name, data=array, compression="gzip", compression_opts=9)
    return path


def fetch(path, output, digest=None):
    fetch_features(output, url=None, path=str(path), digest=digest, encoder=ENCODER, stride=16)


@pytest.fixture
def dim():
    from tsp.encoders.weights import build_encoder

    return build_encoder(ENCODER.factory).feature_dim


def test_facts_are_stated_and_values_kept(tmp_path, dim, caplog):
    values = np.random.default_rng(0).normal(size=(5, dim)).astype(np.float32)
    source = released(tmp_path / "a.h5", v_x=values)
    fetch(source, tmp_path / "out.h5")
    assert "not checked" in caplog.text
    with FeatureFile(tmp_path / "out.h5") as file:
        assert np.array_equal(file["v_x"], values)
        facts = file.attributes
    assert (facts["stride"], facts["fps"], facts["clip_length"]) == (16, 15, 16)
    assert facts["source_sha256"] == sha256(source)
    assert "(i * stride" in facts["time"] or "i ·" in facts["time"]
    assert source.exists()


def test_sum_is_checked(tmp_path, dim):
    source = released(tmp_path / "a.h5", v_x=np.zeros((1, dim), np.float32))
    fetch(source, tmp_path / "out.h5", digest=sha256(source)[:8])
    with pytest.raises(TspError, match="expected 00000000"):
        fetch(source, tmp_path / "other.h5", digest="00000000")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "out.h5"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (np.zeros((3, 5), np.float32), r"'v_x' is \(3, 5\), expected \[n, "),
        (np.zeros(7, np.float32), r"'v_x' is \(7,\)"),
        (np.zeros((2, 1), np.int64), "expected"),
    ],
)
def test_other_contents_are_refused(tmp_path, entry, message):
    source = released(tmp_path / "a.h5", v_x=entry)
    with pytest.raises(TspError, match=message):
        fetch(source, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_no_hdf5_and_no_file(tmp_path):
    (tmp_path / "a.h5").write_text("<html>not found</html>")
    with pytest.raises(TspError, match=r"a\.h5: cannot be read as HDF5"):
        fetch(tmp_path / "a.h5", tmp_path / "out.h5")
    with pytest.raises(TspError, match="no such file"):
        fetch(tmp_path / "b.h5", tmp_path / "out.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
