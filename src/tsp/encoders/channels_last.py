"""3-D convolutions in channels-last memory, laid out for tensor cores; weights and names stay as they are.

Two exact rewritings, which change results by rounding only:

* In channels-last memory a convolution over space alone is a 2-D convolution of `B L` images, and one over time alone
  that of `B` images of `L` rows and `H W` columns; both are views. 2-D kernels are better tuned.
* Tensor cores read channels in groups of 8. The 3 channels of the input and widths such as 45, 230 or 921 in the middle
  of an R(2+1)D convolution are filled up with channels whose weights are 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUP = 8


class AlignedSequential(nn.Sequential):
    """Convolutions, batch norms and ReLUs in a row, on channels filled up to a multiple of `GROUP`."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, L, H, W]` to the result of the same layers one by one, up to rounding."""
        channels = x.shape[1]
        x = _fill(x, _aligned(channels), dim=1)
        for layer in self:
            if isinstance(layer, nn.Conv3d):
                channels = layer.out_channels
                weight = _fill(_fill(layer.weight, x.shape[1], dim=1), _aligned(channels), dim=0)
                x = convolve(x, weight, layer.stride, layer.padding)  # type: ignore[arg-type]
            elif isinstance(layer, nn.BatchNorm3d):
                x = _normalise(layer, x)
            else:
                x = layer(x)
        return x[:, :channels]


def to_channels_last(network: nn.Module) -> None:
    """Rewrite a network in place: all 3-D convolutions in channels-last memory, plain sequences of layers aligned.

    Args:
        network: any; what the rewritings do not cover (groups, dilation, biases, other layers) is left as it is, but
            in channels-last memory.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if isinstance(module, nn.Sequential) and len(module) and all(_is_plain(layer) for layer in module):
            module.__class__ = AlignedSequential


def convolve(x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """A 3-D convolution without bias, as a 2-D one where it covers space or time alone.

    Args:
        x: `[B, C, L, H, W]`; the views are free only in channels-last memory.
        weight: `[O, C, l, h, w]`.
        stride: over time, height and width.
        padding: likewise.

    Returns:
        `[B, O, L', H', W']`, channels-last if `x` is.
    """
    length, height, width = weight.shape[2:]
    batch, channels, frames, rows, columns = x.shape
    if length == 1 and stride[0] == 1 and padding[0] == 0:
        images = x.transpose(1, 2).reshape(batch * frames, channels, rows, columns)
        made = functional.conv2d(images, weight[:, :, 0], None, tuple(stride[1:]), tuple(padding[1:]))
        return made.view(batch, frames, *made.shape[1:]).transpose(1, 2)
    if (height, width) == (1, 1) and tuple(stride[1:]) == (1, 1) and tuple(padding[1:]) == (0, 0):
        image = x.reshape(batch, channels, frames, rows * columns)
        made = functional.conv2d(image, weight[..., 0], None, (stride[0], 1), (padding[0], 0))
        return made.view(batch, made.shape[1], made.shape[2], rows, columns)
    return functional.conv3d(x, weight, None, tuple(stride), tuple(padding))


def _is_plain(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv3d):
        plain = layer.groups == 1 and layer.bias is None and layer.dilation == (1, 1, 1)
        return plain and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if isinstance(layer, nn.BatchNorm3d):
        return layer.affine and layer.track_running_stats and layer.momentum is not None
    return isinstance(layer, nn.ReLU)


def _aligned(channels: int) -> int:
    return -(-channels // GROUP) * GROUP


def _fill(x: Tensor, size: int, dim: int) -> Tensor:
    """Zeros appended along a dimension up to `size`."""
    missing = size - x.shape[dim]
    return functional.pad(x, (0, 0) * (x.ndim - 1 - dim) + (0, missing)) if missing else x


def _normalise(layer: nn.BatchNorm3d, x: Tensor) -> Tensor:
    """Batch norm of filled-up channels: those of weight 0 stay 0."""
    if x.shape[1] == layer.num_features:
        return layer(x)  # type: ignore[no-any-return]
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.momentum is not None
    assert layer.num_batches_tracked is not None
    mean, var, weight, bias = (
        _fill(part, x.shape[1], dim=0) for part in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    made = functional.batch_norm(x, mean, var, weight, bias, layer.training, layer.momentum, layer.eps)
    if layer.training and layer.track_running_stats:
        with torch.no_grad():
            layer.running_mean.copy_(mean[: layer.num_features])
            layer.running_var.copy_(var[: layer.num_features])
            layer.num_batches_tracked.add_(1)
    return made
