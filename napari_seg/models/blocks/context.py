"""Modules that give every pixel of a coarse map its surroundings."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, cat, nn
from torch.nn import functional


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that also trains on one image pooled to one pixel.

    One value has no variance: there the running statistics are used, as in evaluation.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same."""
        if self.training and x.numel() == x.shape[1]:
            return functional.batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                eps=self.eps,
            )
        return super().forward(x)


def cbr(
    n_in: int, n_out: int, size: int = 3, *, rate: int = 1, stride: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch normalisation and ReLU."""
    padding = rate * (size // 2)
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, size, stride, padding, rate, bias=False),
        BatchNorm(n_out),
        nn.ReLU(inplace=True),
    )


def separable(n_in: int, n_out: int, size: int = 3, *, rate: int = 1) -> nn.Sequential:
    """Depthwise and pointwise convolution, each with normalisation and ReLU.

    Chen et al. 2018 (DeepLab v3+, arXiv:1802.02611), section 3.1.
    """
    padding = rate * (size // 2)
    depthwise = nn.Conv2d(n_in, n_in, size, 1, padding, rate, groups=n_in, bias=False)
    return nn.Sequential(
        depthwise, BatchNorm(n_in), nn.ReLU(inplace=True), *cbr(n_in, n_out, 1)
    )


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling with image-level features.

    Chen et al. 2017 (DeepLab v3, arXiv:1706.05587), section 3.3 and figure 5: a 1x1
    convolution, dilated 3x3 convolutions and the pooled image side by side.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    rates : sequence of int
        Dilations of the 3x3 convolutions.
    depthwise : bool
        Split these convolutions into depthwise and pointwise ones (DeepLab v3+).
    """

    def __init__(
        self, n_in: int, n_out: int, rates: Sequence[int], *, depthwise: bool = False
    ) -> None:
        super().__init__()
        conv = separable if depthwise else cbr
        self.branches = nn.ModuleList([cbr(n_in, n_out, 1)])
        self.branches.extend(conv(n_in, n_out, 3, rate=rate) for rate in rates)
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), *cbr(n_in, n_out, 1))
        self.project = cbr((len(rates) + 2) * n_out, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        maps = [branch(x) for branch in self.branches]
        maps.append(self.image(x).expand(-1, -1, *x.shape[2:]))
        out: Tensor = self.project(cat(maps, dim=1))
        return out


class PyramidPooling(nn.Module):
    """The map and its means over ever finer grids, concatenated.

    Zhao et al. 2017 (PSPNet, arXiv:1612.01105), section 3.2 and figure 3c.

    Parameters
    ----------
    n_in : int
        Channels; twice as many come out if they divide by the number of bins.
    bins : sequence of int
        Cells along an axis of each grid.
    """

    def __init__(self, n_in: int, bins: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bin_), *cbr(n_in, n_in // len(bins), 1))
            for bin_ in bins
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 2 C, H, W)."""
        size = x.shape[2:]
        means = [resize(level(x), size, align_corners=True) for level in self.levels]
        return cat([x, *means], dim=1)


def resize(x: Tensor, size: Sequence[int], *, align_corners: bool = False) -> Tensor:
    """Resize (N, C, H, W) to `size`, bilinearly."""
    return functional.interpolate(
        x, list(size), mode="bilinear", align_corners=align_corners
    )


def fcn_head(
    n_in: int, num_classes: int, *, width: int | None = None, dropout: float = 0.1
) -> nn.Sequential:
    """3x3 convolution to a quarter of the channels, dropout and logits.

    The auxiliary head of PSPNet, section 3.3, and the head of torchvision's FCN.
    """
    width = width or n_in // 4
    return nn.Sequential(
        *cbr(n_in, width), nn.Dropout(dropout), nn.Conv2d(width, num_classes, 1)
    )
