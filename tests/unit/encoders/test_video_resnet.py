import pytest
import torch

from tsp.encoders.config import EncoderConfig
from tsp.encoders.video_resnet import r2plus1d_tiny


def test_tiny_maps_any_clip_to_its_feature_dim():
    model = r2plus1d_tiny((4, 8, 8, 12))
    assert model.feature_dim == 12
    assert model(torch.zeros(2, 3, 16, 32, 40)).shape == (2, 12)
    assert model(torch.zeros(1, 3, 5, 17, 17)).shape == (1, 12)


def test_tiny_is_named_like_the_others():
    names = r2plus1d_tiny().state_dict()
    for name in ("stem.3.weight", "layer4.0.conv2.0.3.weight", "layer2.0.downsample.1.running_mean"):
        assert name in names


@pytest.mark.parametrize("wrong", [{"crop": 129}, {"crop": 0}, {"fps": 0.0}, {"clip_length": 0}])
def test_impossible_clips_are_refused(wrong):
    with pytest.raises(ValueError, match="encoder: "):
        EncoderConfig(factory="a:b", **wrong)
