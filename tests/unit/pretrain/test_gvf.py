import numpy as np
import pytest

from tsp.errors import TspError
from tsp.io.features import FeatureFile, feature_writer
from tsp.pretrain.gvf import compute_gvf, read_gvf

FACTS = {"stride": 16, "fps": 15.0, "clip_length": 16, "encoder": "tiny", "weights_sha256": "ab"}


def write(path, videos, **facts):
    with feature_writer(path, {**FACTS, **facts}) as writer:
        for name, array in videos.items():
            writer.write(name, np.asarray(array, dtype=np.float32))
    return path


@pytest.fixture
def files(tmp_path):
    a = write(tmp_path / "a.h5", {"v_x": [[1, 5], [3, -2]], "v_empty": np.zeros((0, 2))})
    return [a, write(tmp_path / "b.h5", {"v_y.z": [[7, 8]]})]


@pytest.mark.parametrize(("pool", "expected"), [("max", [3, 5]), ("avg", [2, 1.5])])
def test_both_subsets_are_pooled_into_one_file(tmp_path, files, pool, expected):
    compute_gvf(files, tmp_path / "gvf.h5", pool)
    with FeatureFile(tmp_path / "gvf.h5") as file:
        assert file.names == ["v_x", "v_y.z"]
        assert file["v_x"].tolist() == expected and file["v_x"].dtype == np.float32
        assert (file.attributes["pool"], file.attributes["encoder"]) == (pool, "tiny")
    found = read_gvf(tmp_path / "gvf.h5", ["v_y.z.mp4"])
    assert list(found) == ["v_y.z.mp4"] and found["v_y.z.mp4"].tolist() == [7, 8]


def test_names_cut_at_the_first_dot_are_found(tmp_path):
    write(tmp_path / "old.h5", {"a": [1, 2]})
    assert read_gvf(tmp_path / "old.h5", ["a.b.mp4"])["a.b.mp4"].tolist() == [1, 2]


def test_features_that_are_not_pooled_are_refused(files):
    with pytest.raises(TspError, match=r"'v_x' has shape \(2, 2\), expected one vector per video"):
        read_gvf(files[0], ["v_x.mp4"])
    with pytest.raises(TspError, match="no features of 'v_q'"):
        read_gvf(files[0], ["v_q.mp4"])


def test_features_of_two_encoders_are_refused(tmp_path, files):
    other = write(tmp_path / "c.h5", {"v_c": [[1, 2]]}, weights_sha256="cd")
    with pytest.raises(TspError, match="features of another encoder"):
        compute_gvf([*files, other], tmp_path / "gvf.h5")
    with pytest.raises(TspError, match="no feature files"):
        compute_gvf([], tmp_path / "gvf.h5")
