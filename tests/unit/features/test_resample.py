import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsp.features.resample import resample_time


@given(st.integers(1, 40), st.integers(1, 60), st.booleans())
def test_agrees_with_pytorch(n, length, align):
    x = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(x.T[None]), length, mode="linear", align_corners=align)
    np.testing.assert_allclose(resample_time(x, length, align_corners=align), theirs[0].numpy().T, atol=2e-5)


def test_channels_do_not_mix():
    x = np.stack([np.arange(5.0), np.zeros(5)], axis=1).astype(np.float32)
    assert (resample_time(x, 12)[:, 1] == 0).all()


def test_same_length_is_the_identity():
    x = np.random.default_rng(0).normal(size=(100, 7)).astype(np.float32)
    np.testing.assert_array_equal(resample_time(x, 100), x)


@pytest.mark.parametrize("align", [False, True])
def test_one_feature_is_repeated(align):
    assert resample_time(np.array([[3.0, 4.0]], np.float32), 3, align_corners=align).tolist() == [[3.0, 4.0]] * 3
