"""VGG-16's convolutions as an encoder: with switches, dilated, or unpadded.

Very Deep Convolutional Networks for Large-Scale Image Recognition (Simonyan and
Zisserman 2014, arXiv:1409.1556), table 1, configuration D. FCN, DeconvNet, SegNet, the
dilated front end and DeepLab v1 and v2 are all built on it, each with changes of its
own: they are the options here.

Departures from the paper, both of them options: ``width`` makes all layers slimmer, and
``norm`` puts a normalisation before each ReLU (DeconvNet and SegNet have one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from napari_seg.models.blocks.conv import Norm, Padding, init_he, norm_layer

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Of each stage."""
WIDENING = (1, 2, 4, 8, 8)
"""Channels of each stage, relative to the first, which has 64 in the paper."""


@dataclass
class Features:
    """What an encoder leaves behind on its way down; lists by stage, finest first."""

    pooled: list[Tensor] = field(default_factory=list)
    """Maps after each stage and its pooling."""
    switches: list[Tensor] = field(default_factory=list)
    """Where each pooled value was, as `torch.nn.functional.max_unpool2d` wants it."""
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Rows and columns of the maps before pooling."""


class VGGEncoder(nn.Module):
    """Thirteen 3x3 convolutions in five stages, each followed by a max-pooling.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    width : int
        Channels of the first stage; the last has eight times as many.
    norm : {"batch", "group"}, optional
        Before each ReLU. The convolutions keep their bias.
    padding : {"valid", "same"}
        ``"valid"`` as in the dilated front end: every convolution eats a rim.
    first_padding : int, optional
        Padding of the first convolution alone: 100 in FCN.
    strides : sequence of int
        Of the five poolings: 2 halves the resolution, 1 keeps it (DeepLab v1), 0
        leaves the pooling out (dilated front end).
    dilations : sequence of int
        Of the convolutions of each stage.
    pool_px : {2, 3}
        Side of a pooling; 3 in DeepLab, with a rim of 1.

    Attributes
    ----------
    channels : tuple of int
        Of each stage.
    stride : int
        Of the last map.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        width: int = 64,
        norm: Norm | None = None,
        padding: Padding = "same",
        first_padding: int | None = None,
        strides: Sequence[int] = (2, 2, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1, 1),
        pool_px: int = 2,
    ) -> None:
        super().__init__()
        self.channels = tuple(width * times for times in WIDENING)
        self.stride = 2 ** sum(stride == 2 for stride in strides)
        self.stages = nn.ModuleList()
        self.pools = nn.ModuleList()
        n_in = in_channels
        for n_out, count, stride, rate in zip(
            self.channels, CONVOLUTIONS, strides, dilations, strict=True
        ):
            layers: list[nn.Module] = []
            for _ in range(count):
                rim = rate if padding == "same" else 0
                if first_padding is not None and n_in == in_channels and not layers:
                    rim = first_padding if not self.stages else rim
                layers += [
                    nn.Conv2d(n_in, n_out, 3, padding=rim, dilation=rate),
                    norm_layer(norm, n_out, 2),
                    nn.ReLU(inplace=True),
                ]
                n_in = n_out
            self.stages.append(nn.Sequential(*layers))
            self.pools.append(_pool(pool_px, stride))
        init_he(self)

    def forward(self, x: Tensor) -> Features:
        """Encode (N, C, H, W); a pooling that is left out leaves no switches."""
        found = Features()
        for stage, pool in zip(self.stages, self.pools, strict=True):
            x = stage(x)
            found.sizes.append((x.shape[2], x.shape[3]))
            if isinstance(pool, nn.MaxPool2d):
                x, switches = pool(x)
                found.switches.append(switches)
            found.pooled.append(x)
        return found


def dense_layer(conv: nn.Conv2d, norm: Norm | None, dropout: float) -> list[nn.Module]:
    """One of VGG's two fully connected layers, as the convolution it has become."""
    return [
        conv,
        norm_layer(norm, conv.out_channels, 2),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
    ]


def _pool(side: int, stride: int) -> nn.Module:
    """Rows that a 2x2 window covers by half count, as in Caffe (`ceil_mode`)."""
    if not stride:
        return nn.Identity()
    return nn.MaxPool2d(
        side,
        stride,
        side // 2 if side > 2 else 0,
        return_indices=True,
        ceil_mode=side == 2,
    )
