"""Sizes of the encoders against the published networks."""

import pytest
import torch
from torchvision.models.video import r2plus1d_18 as torchvision_r2plus1d_18
from torchvision.models.video import r3d_18 as torchvision_r3d_18

from tsp.encoders.video_resnet import r2plus1d_18, r2plus1d_34, r3d_18

SIZES = [
    # parameters of the stem, of layer1 to layer4; parameter tensors; state-dict entries; convolutions
    (r2plus1d_34, [15_473, 666_048, 3_332_364, 20_400_408, 39_077_682], 63_491_975, 207, 414, 69),
    (r2plus1d_18, [15_473, 444_032, 1_470_360, 5_874_736, 23_495_524], 31_300_125, 111, 222, 37),
    (r3d_18, [28_352, 442_880, 1_557_760, 6_228_480, 24_908_800], 33_166_272, 60, 120, 20),
]


def on_meta(factory):
    # No weights are allocated: only names, sizes and shapes are compared.
    with torch.device("meta"):
        return factory()


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("factory", "stages", "total", "tensors", "entries", "convolutions"), SIZES)
def test_sizes(factory, stages, total, tensors, entries, convolutions):
    model = on_meta(factory)
    names = ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert [count(getattr(model, name)) for name in names] == stages
    assert (count(model), len(list(model.parameters())), len(model.state_dict())) == (total, tensors, entries)
    kinds = [type(m).__name__ for m in model.modules()]
    assert kinds.count("BatchNorm3d") == convolutions
    assert sum("weight" in n and p.ndim == 5 for n, p in model.named_parameters()) == convolutions


@pytest.mark.parametrize("factory", [r2plus1d_34, r2plus1d_18, r3d_18])
def test_output_sizes_of_the_stages(factory):
    model, x, sizes = on_meta(factory), torch.empty(2, 3, 16, 112, 112, device="meta"), []
    for name in ["stem", "layer1", "layer2", "layer3", "layer4"]:
        x = getattr(model, name)(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(64, 16, 56, 56), (64, 16, 56, 56), (128, 8, 28, 28), (256, 4, 14, 14), (512, 2, 7, 7)]
    assert model.feature_dim == 512
    assert model(torch.empty(2, 3, 16, 112, 112, device="meta")).shape == (2, 512)


def test_middle_widths_of_the_34_layers_follow_each_convolution():
    state = on_meta(r2plus1d_34).state_dict()
    middle = {
        (layer, block, unit): state[f"layer{layer}.{block}.conv{unit}.0.0.weight"].shape[0]
        for layer, blocks in zip((1, 2, 3, 4), (3, 4, 6, 3), strict=True)
        for block in range(blocks)
        for unit in (1, 2)
    }
    assert [middle[layer, 0, 1] for layer in (1, 2, 3, 4)] == [144, 230, 460, 921]
    later = {
        layer: {m for (at, b, u), m in middle.items() if at == layer and (b, u) != (0, 1)} for layer in (1, 2, 3, 4)
    }
    assert later == {1: {144}, 2: {288}, 3: {576}, 4: {1152}}


def test_middle_widths_of_the_18_layers_follow_the_block():
    state = on_meta(r2plus1d_18).state_dict()
    assert [state[f"layer{n}.0.conv2.0.0.weight"].shape[0] for n in (1, 2, 3, 4)] == [144, 230, 460, 921]


def test_batch_norm_of_the_34_layers_is_that_of_its_start_weights():
    norms = [m for m in on_meta(r2plus1d_34).modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.9)}


@pytest.mark.parametrize("factory", [r2plus1d_34, r2plus1d_18, r3d_18])
def test_names_of_the_released_state_dicts(factory):
    shapes = {name: tuple(t.shape) for name, t in on_meta(factory).state_dict().items()}
    if factory is r3d_18:
        assert shapes["stem.0.weight"] == (64, 3, 3, 7, 7)
        assert shapes["layer1.0.conv1.0.weight"] == (64, 64, 3, 3, 3)
    else:
        assert (shapes["stem.0.weight"], shapes["stem.3.weight"]) == ((45, 3, 1, 7, 7), (64, 45, 3, 1, 1))
        assert shapes["layer1.0.conv1.0.0.weight"] == (144, 64, 1, 3, 3)
        assert shapes["layer1.0.conv1.0.3.weight"] == (64, 144, 3, 1, 1)
        assert "layer1.0.conv1.0.1.running_var" in shapes
    for layer in (2, 3, 4):
        assert shapes[f"layer{layer}.0.downsample.0.weight"][2:] == (1, 1, 1)
        assert f"layer{layer}.0.downsample.1.num_batches_tracked" in shapes
    assert not any(name.startswith("fc") or "layer1.0.downsample" in name for name in shapes)


@pytest.mark.parametrize(("ours", "theirs"), [(r2plus1d_18, torchvision_r2plus1d_18), (r3d_18, torchvision_r3d_18)])
def test_activations_equal_torchvisions(ours, theirs):
    with torch.device("meta"):
        model, reference = ours(), theirs(weights=None)
    generator = torch.Generator().manual_seed(0)
    state = {
        name: (0.03 * torch.randn(t.shape, generator=generator)).abs()
        if t.is_floating_point()
        else t.new_zeros((), device="cpu")
        for name, t in reference.state_dict().items()
    }
    reference.load_state_dict(state, assign=True)
    model.load_state_dict({n: t for n, t in state.items() if not n.startswith("fc.")}, assign=True)
    reference.fc = torch.nn.Identity()
    clip = torch.randn(1, 3, 4, 32, 32, generator=generator)
    with torch.no_grad():
        expected = reference.eval()(clip)
        assert expected.abs().max() > 0
        torch.testing.assert_close(model.eval()(clip), expected, rtol=1e-5, atol=1e-5)
