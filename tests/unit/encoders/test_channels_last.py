"""The rewriting for tensor cores gives the results of the network it rewrites."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models.video import s3d

from tsp.encoders.channels_last import AlignedSequential, to_channels_last
from tsp.encoders.video_resnet import ENCODERS, CaffeConv2Plus1D, VideoResNet, r2plus1d_tiny, r3d_tiny

ODD = {
    "tiny": r2plus1d_tiny,
    "r3d": r3d_tiny,
    "odd widths": lambda: r2plus1d_tiny((5, 9, 12, 17)),
    # Middle widths 12 to 68, few of them multiples of 8, as 230, 460 and 921 of the paper's network.
    "caffe": lambda: VideoResNet(
        CaffeConv2Plus1D,
        (2, 1, 1, 1),
        nn.Sequential(nn.Conv3d(3, 6, 3, padding=1, bias=False)),
        widths=(6, 10, 18, 30),
        bn_momentum=0.9,
    ),
}


def clips(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("name", ODD)
def test_outputs_gradients_and_running_statistics_are_those_of_the_plain_network(name):
    torch.manual_seed(0)
    plain = ODD[name]().double().train()
    rewritten = copy.deepcopy(plain)
    to_channels_last(rewritten)
    assert any(isinstance(module, AlignedSequential) for module in rewritten.modules())
    x = clips(3, 3, 8, 20, 24)
    found = [network(x) for network in (plain, rewritten)]
    for out in found:
        out.square().sum().backward()
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-12)
    own = dict(rewritten.named_parameters())
    for key, parameter in plain.named_parameters():
        torch.testing.assert_close(own[key].grad, parameter.grad, rtol=1e-8, atol=1e-9)
    # Names and shapes of the weights are unchanged, and so are the statistics that training collects.
    assert [*rewritten.state_dict()] == [*plain.state_dict()]
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(rewritten.state_dict()[key], value, rtol=1e-10, atol=1e-12)
    for network in (plain, rewritten):
        network.eval()
    with torch.no_grad():
        torch.testing.assert_close(rewritten(x), plain(x), rtol=1e-10, atol=1e-12)


def test_every_convolution_of_the_papers_network_has_aligned_channels(monkeypatch):
    from tsp.encoders import channels_last

    seen = []
    convolve = channels_last.convolve

    def watched(x, weight, stride, padding):
        seen.append((x.shape[1], *weight.shape[:2]))
        return convolve(x, weight, stride, padding)

    monkeypatch.setattr(channels_last, "convolve", watched)
    with torch.device("meta"):
        network = ENCODERS["r2plus1d_34"]().eval()
        to_channels_last(network)
        network(torch.zeros(1, 3, 16, 112, 112))
    assert len(seen) == 2 + 2 * 32 + 3
    assert all(size % 8 == 0 for sizes in seen for size in sizes)


def test_other_networks_are_left_as_they_are_but_in_channels_last_memory():
    torch.manual_seed(0)
    plain = s3d(num_classes=5).eval()
    rewritten = copy.deepcopy(plain)
    to_channels_last(rewritten)
    x = clips(1, 3, 16, 224, 224).float()
    with torch.no_grad():
        torch.testing.assert_close(rewritten(x), plain(x), rtol=1e-4, atol=1e-5)
