"""R3D and R(2+1)D: residual networks over clips (Tran et al., CVPR 2018), without classifier.

Axes: B batch, C channels, L clip frames, H W pixels. State-dict names are those of torchvision, of the IG-65M
port and of the weights released with the paper: `stem`, `layer1` ... `layer4`.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv2Plus1D, Conv3DSimple, R2Plus1dStem

WIDTHS = (64, 128, 256, 512)
ConvMaker = type[Conv3DSimple] | type[Conv2Plus1D]


class CaffeConv2Plus1D(Conv2Plus1D):
    """R(2+1)D convolution whose middle width follows from its own channels, not from those of the block.

    The IG-65M weights use this rule; the block of torchvision shares one width between both convolutions.
    """

    def __init__(self, in_planes: int, out_planes: int, midplanes: int, stride: int = 1, padding: int = 1) -> None:
        midplanes = (in_planes * out_planes * 27) // (in_planes * 9 + 3 * out_planes)
        super().__init__(in_planes, out_planes, midplanes, stride, padding)


class VideoResNet(nn.Module):
    """Stem, four residual stages and the average over time and space.

    Args:
        conv: convolution of the stages: `Conv3DSimple`, `Conv2Plus1D` or `CaffeConv2Plus1D`.
        blocks: number of basic blocks of each stage; stages 2 to 4 halve time, height and width.
        stem: module from `[B, 3, L, H, W]` to `[B, widths[0], L, H/2, W/2]`.
        widths: output channels of the stages; the last one is `feature_dim`.
        bn_eps: epsilon of every batch norm.
        bn_momentum: share of the batch in the running statistics.
    """

    def __init__(
        self,
        conv: ConvMaker,
        blocks: Sequence[int],
        stem: nn.Module,
        *,
        widths: Sequence[int] = WIDTHS,
        bn_eps: float = 1e-5,
        bn_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.feature_dim = widths[-1]
        self.stem = stem
        ins = (widths[0], *widths)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(conv, ins[i], widths[i], blocks[i], stride=1 if i == 0 else 2) for i in range(4)
        )
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm3d):
                module.eps, module.momentum = bn_eps, bn_momentum

    def forward(self, clips: Tensor) -> Tensor:
        """Local features f of clips.

        Args:
            clips: `[B, 3, L, H, W]` float, normalised; any length and size.

        Returns:
            `[B, feature_dim]`.
        """
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(clips)))))
        return self.fc(self.avgpool(x).flatten(1))


def _stage(conv: ConvMaker, width_in: int, width: int, blocks: int, *, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or width_in != width:
        shortcut = nn.Sequential(
            nn.Conv3d(width_in, width, kernel_size=1, stride=stride, bias=False), nn.BatchNorm3d(width)
        )
    first = BasicBlock(width_in, width, conv, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(width, width, conv) for _ in range(blocks - 1)))


def _narrow_stem(middle: int, width: int) -> nn.Sequential:
    """R(2+1)D stem with configurable widths (paper: 45 and 64)."""
    return nn.Sequential(
        nn.Conv3d(3, middle, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def r2plus1d_34() -> VideoResNet:
    """R(2+1)D-34, the paper's main encoder: 63,491,975 parameters.

    Paper: section 4 (encoders). Batch norm has epsilon 1e-3 and momentum 0.9 in PyTorch's sense (running
    statistics depend almost only on the last batch), as in the network that provides its start weights.
    """
    return VideoResNet(CaffeConv2Plus1D, (3, 4, 6, 3), R2Plus1dStem(), bn_eps=1e-3, bn_momentum=0.9)


def r2plus1d_18() -> VideoResNet:
    """R(2+1)D-18 as in torchvision: 31,300,125 parameters."""
    return VideoResNet(Conv2Plus1D, (2, 2, 2, 2), R2Plus1dStem())


def r3d_18() -> VideoResNet:
    """R3D-18 as in torchvision: 33,166,272 parameters."""
    return VideoResNet(Conv3DSimple, (2, 2, 2, 2), BasicStem())


def r2plus1d_tiny(widths: Sequence[int] = (8, 16, 32, 64)) -> VideoResNet:
    """R(2+1)D with one narrow block per stage, for the miniature run on a CPU.

    Args:
        widths: output channels of the four stages; the last one is `feature_dim`.
    """
    return VideoResNet(Conv2Plus1D, (1, 1, 1, 1), _narrow_stem(widths[0], widths[0]), widths=widths)


def r3d_tiny(widths: Sequence[int] = (8, 16, 32, 64)) -> VideoResNet:
    """R3D with one narrow block per stage, for the miniature's encoder ablation; `widths` as `r2plus1d_tiny`."""
    stem = nn.Sequential(
        nn.Conv3d(3, widths[0], (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
        nn.BatchNorm3d(widths[0]),
        nn.ReLU(inplace=True),
    )
    return VideoResNet(Conv3DSimple, (1, 1, 1, 1), stem, widths=widths)


ENCODERS: dict[str, Callable[[], VideoResNet]] = {
    "r2plus1d_34": r2plus1d_34,
    "r2plus1d_18": r2plus1d_18,
    "r3d_18": r3d_18,
}
