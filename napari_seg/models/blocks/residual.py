"""Residual trunk: feature maps at strides 2, 4, 8 and 16.

Deep Residual Learning for Image Recognition (He et al., arXiv:1512.03385), figure 5,
left. Without the max-pooling of its stem: cells of 20 px would be left with 5 pixels.
Where a block halves the resolution, its skip takes means of 2x2 pixels and forgets
none (He et al., arXiv:1812.01187, figure 2c).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from napari_seg.models.blocks.conv import Norm, init_he, norm_layer


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, or a 1x1 convolution in its place.

    Parameters
    ----------
    in_channels, out_channels : int
    stride : {1, 2}
        Of the first convolution and of the skip.
    norm : {"batch", "group"}
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, norm: Norm
    ) -> None:
        super().__init__()

        def conv(n_in: int, size: int, step: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(n_in, out_channels, size, step, size // 2, bias=False),
                norm_layer(norm, out_channels, 2),
            )

        self.first = conv(in_channels, 3, stride)
        self.second = conv(out_channels, 3, 1)
        # A strided 1x1 convolution would skip three of four pixels. For 4 channels in
        # the layout "channels last" torch 2.14 also writes beyond its memory there.
        pool = nn.AvgPool2d(2) if stride == 2 else nn.Identity()
        same = stride == 1 and in_channels == out_channels
        self.skip = pool if same else nn.Sequential(pool, conv(in_channels, 1, 1))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        out: Tensor = self.act(self.second(self.act(self.first(x))) + self.skip(x))
        return out


class ResidualTrunk(nn.Module):
    """A stem of stride 2, then levels of residual blocks, each half as fine.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    channels, blocks : sequence of int
        Channels and residual blocks of each level, finest first.
    norm : {"batch", "group"}
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        blocks: Sequence[int],
        norm: Norm,
    ) -> None:
        super().__init__()
        first = channels[0]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, first, 5, 2, 2, bias=False),
            norm_layer(norm, first, 2),
            nn.ReLU(inplace=True),
        )
        self.levels = nn.ModuleList()
        before = first
        for level, (width, count) in enumerate(zip(channels, blocks, strict=True)):
            steps = [2 if level and not i else 1 for i in range(count)]
            widths = [before, *[width] * (count - 1)]
            self.levels.append(
                nn.Sequential(
                    *(
                        ResidualBlock(n_in, width, step, norm)
                        for n_in, step in zip(widths, steps, strict=True)
                    )
                )
            )
            before = width
        init_he(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) -> maps ``"0"``, ``"1"``, ... at strides 2, 4, ..."""
        x = self.stem(x)
        found: OrderedDict[str, Tensor] = OrderedDict()
        for number, level in enumerate(self.levels):
            x = level(x)
            found[str(number)] = x
        return found
