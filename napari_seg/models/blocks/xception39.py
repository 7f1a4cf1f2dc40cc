"""Xception39: the small encoder of BiSeNet, maps at strides 8, 16 and 32.

Yu et al. 2018 (arXiv:1808.00897), section 4, as in the authors' code.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from napari_seg.models.blocks.context import BatchNorm, cbr

EXPANSION = 4
BLOCKS, WIDTHS = (4, 8, 4), (16, 32, 64)


def _separable(n_in: int, n_out: int, *, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3 and pointwise convolution, normalised once at the end."""
    depthwise = nn.Conv2d(n_in, n_in, 3, stride, 1, groups=n_in, bias=False)
    pointwise = nn.Conv2d(n_in, n_out, kernel_size=1, bias=False)
    return nn.Sequential(depthwise, pointwise, BatchNorm(n_out))


class _Block(nn.Module):
    """Three separable convolutions beside the identity, or a strided one."""

    def __init__(self, n_in: int, width: int, *, stride: int) -> None:
        super().__init__()
        n_out = EXPANSION * width
        self.skip: nn.Module = nn.Identity()
        if stride > 1:
            self.skip = _separable(n_in, n_out, stride=stride)
        self.layers = nn.Sequential(
            _separable(n_in, width, stride=stride),
            nn.ReLU(inplace=True),
            _separable(width, width),
            nn.ReLU(inplace=True),
            _separable(width, n_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        return functional.relu(self.skip(x) + self.layers(x))


class Xception39(nn.Module):
    """Stem of stride 4 and three stages of separable convolutions.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    stem_pool : bool
        False leaves out the max-pooling: every map is twice as fine.
    """

    channels = tuple(EXPANSION * width for width in WIDTHS)

    def __init__(self, in_channels: int, *, stem_pool: bool = True) -> None:
        super().__init__()
        before = WIDTHS[0] // 2
        pool = nn.MaxPool2d(3, 2, 1) if stem_pool else nn.Identity()
        self.stem = nn.Sequential(cbr(in_channels, before, stride=2), pool)
        self.stages = nn.ModuleList()
        for count, width in zip(BLOCKS, WIDTHS, strict=True):
            n_out = EXPANSION * width
            rest = (_Block(n_out, width, stride=1) for _ in range(count - 1))
            self.stages.append(nn.Sequential(_Block(before, width, stride=2), *rest))
            before = n_out

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> three maps, finest first."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
