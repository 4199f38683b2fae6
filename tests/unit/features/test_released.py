"""Released feature files: fetched, validated, attributes added."""

import hashlib
import os
import pickle
import subprocess

import h5py
import numpy as np
import pytest

from tsp.encoders.config import EncoderConfig
from tsp.errors import TspError
from tsp.features.export import export
from tsp.features.released import fetch_features
from tsp.io.features import FeatureFile, feature_writer
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
    from tsp.encoders.build import build_encoder

    return build_encoder(ENCODER.factory).feature_dim


def test_facts_are_stated_and_values_kept(tmp_path, dim, caplog):
    values = np.random.default_rng(0).normal(size=(5, dim)).astype(np.float32)
    source = released(tmp_path / "a.h5", v_x=values)
    fetch(source, tmp_path / "out.h5")
    assert "not verified" in caplog.text
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


def test_what_a_killed_run_fetched_is_checked_too(tmp_path, dim):
    source = released(tmp_path / "a.h5", v_x=np.zeros((1, dim), np.float32))
    left = released(tmp_path / "out.h5.fetched", v_y=np.ones((1, dim), np.float32))
    with pytest.raises(TspError, match="this is another file"):
        fetch(source, tmp_path / "out.h5", digest=sha256(source)[:8])
    assert not left.exists()
    fetch(source, tmp_path / "out.h5", digest=sha256(source)[:8])
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.names == ["v_x"]


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


def pickled(folder, **entries):
    """A folder as written by the released extraction."""
    folder.mkdir(exist_ok=True)
    for name, array in entries.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(array))
    return folder


def refused(source, output, message):
    with pytest.raises(TspError, match=message) as caught:
        fetch(source, output)
    assert "\n" not in str(caught.value)
    assert [path for path in output.parent.iterdir() if path != source] == []


def test_a_folder_of_pickles_becomes_one_file(tmp_path, dim):
    values = np.random.default_rng(0).normal(size=(5, dim))
    entries = {"v_b": values, "v_a": values[:0], "v_C": np.asfortranarray(values.astype(np.float16)), "v_a-1": values}
    source = pickled(tmp_path / "pkl", **entries)
    # A remnant of an interrupted copy, and a file of another kind.
    (source / ".v_c.pkl").write_bytes(b"half")
    (source / "readme.txt").write_text("features")
    fetch(source, tmp_path / "out.h5")
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.names == ["v_C", "v_a-1", "v_a", "v_b"]
        assert all(np.array_equal(file[name], array.astype(np.float32)) for name, array in entries.items())
        facts = file.attributes
    assert (facts["stride"], facts["fps"], facts["clip_length"]) == (16, 15, 16)
    assert facts["source"] == str(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "pkl"]
    assert len(list(source.iterdir())) == 6


def test_the_sum_of_a_folder_is_what_the_shell_prints(tmp_path, dim, caplog):
    source = pickled(tmp_path / "pkl", **{name: np.zeros((1, dim)) for name in ("b", "a", "a-1", "B", "-d", "\u00e9")})
    (source / ".hidden.pkl").write_bytes(b"")
    lines = [
        f"{sha256(source / name)}  {name}\n" for name in ("-d.pkl", "B.pkl", "a-1.pkl", "a.pkl", "b.pkl", "\u00e9.pkl")
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    said = subprocess.run(
        ["bash", "-c", "sha256sum -- *.pkl | sha256sum"],
        cwd=source,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split()[0] == expected
    fetch(source, tmp_path / "out.h5", digest=expected[:8].upper())
    assert "not verified" not in caplog.text
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.attributes["source_sha256"] == expected
    with pytest.raises(TspError, match=f"pkl: SHA-256 starts with {expected[:8]}, expected 00000000"):
        fetch(source, tmp_path / "other.h5", digest="00000000")
    fetch(source, tmp_path / "other.h5")
    assert "not verified" in caplog.text


def test_an_export_comes_back(tmp_path, dim):
    facts = {"stride": 16, "fps": 15.0, "clip_length": 16}
    values = np.random.default_rng(0).normal(size=(4, dim)).astype(np.float32)
    with feature_writer(tmp_path / "ours.h5", facts) as writer:
        writer.write("v_b", values)
        writer.write("v_a.b", values[:0])
    export("pkl", tmp_path / "ours.h5", tmp_path / "pkl")
    fetch(tmp_path / "pkl", tmp_path / "out.h5")
    with FeatureFile(tmp_path / "ours.h5") as ours, FeatureFile(tmp_path / "out.h5") as back:
        assert back.names == ["v_a.b", "v_b"]
        assert all(np.array_equal(ours[name], back[name]) for name in ours)
        assert {key: back.attributes[key] for key in facts} == facts


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 5), np.float32), r"pkl: entry 'v_x' is \(3, 5\), expected \[n, "),
        (np.zeros(7), r"pkl: entry 'v_x' is \(7,\)"),
        (np.zeros((2, 1), np.int64), r"v_x\.pkl: holds numbers of type 'i8'"),
        (np.full((1, 1), np.nan), r"v_x\.pkl: features are not finite"),
        (np.full((1, 1), 1e300), r"v_x\.pkl: features are not finite"),
        ({"v": np.zeros((1, 1))}, r"v_x\.pkl: uses EMPTY_DICT"),
    ],
)
def test_other_pickles_are_refused(tmp_path, array, message):
    refused(pickled(tmp_path / "pkl", v_x=array), tmp_path / "out.h5", message)


def test_folders_that_cannot_be_read_whole_are_refused(tmp_path, dim):
    source = pickled(tmp_path / "pkl")
    (source / ".v_x.pkl").write_bytes(b"")
    refused(source, tmp_path / "out.h5", r"pkl: contains no \.pkl file")
    pickled(source, v_x=np.zeros((1, dim)))
    (source / "v_y.pkl").symlink_to(tmp_path / "elsewhere.pkl")
    refused(source, tmp_path / "out.h5", r"v_y\.pkl: not a readable file")
    (source / "v_y.pkl").unlink()
    (source / "v_y.pkl").mkdir()
    refused(source, tmp_path / "out.h5", r"v_y\.pkl: not a readable file")
    (source / "v_y.pkl").rmdir()
    (source / os.fsdecode(b"v_\xff.pkl")).write_bytes((source / "v_x.pkl").read_bytes())
    refused(source, tmp_path / "out.h5", "lone Unicode surrogate")


def test_a_folder_is_read_again_after_a_kill(tmp_path, dim):
    source = pickled(tmp_path / "pkl", v_x=np.zeros((1, dim)))
    (tmp_path / "out.h5.fetched").write_bytes(b"half")
    fetch(source, tmp_path / "out.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "pkl"]
