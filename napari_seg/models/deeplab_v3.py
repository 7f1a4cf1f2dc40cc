"""DeepLab v3 (2017) and v3+ (2018): dilated encoder and atrous pyramid pooling.

Chen, Papandreou, Schroff and Adam, arXiv:1706.05587, sections 3.1 to 3.3 and figure 5;
Chen, Zhu et al., arXiv:1802.02611, section 3.1 and figure 2. Encoders are timm's.

Departures from the papers, all of them options:
  - ``stem_pool=False`` leaves out the max-pooling after the first convolution: every
    map is twice as fine, or cells of 20 px would be one or two pixels wide;
  - for v3+ any encoder is taken; with ``separable=True`` and ``encoder="xception65"``
    it is the network of the paper, whose ResNet variant has plain convolutions.

torchvision and segmentation-models-pytorch have a further 3x3 convolution after the
pyramid, other rates and no multi-grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, cat, nn

from napari_seg.models.blocks.context import ASPP, cbr, resize, separable
from napari_seg.models.blocks.conv import init_he
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.pyramid import Pyramid

RATES = (6, 12, 18)
"""Dilations of the pyramid at output stride 16; at 8 they are doubled (section 3.3)."""
MULTI_GRID = (1, 2, 4)
"""Relative dilations in the last stage (section 4.2)."""
LOW_LEVEL = 48
"""Channels of the fine map before it is joined (v3+, table 1)."""


class DeepLabV3(DenseNetwork):
    """DeepLab v3, or v3+ with a decoder.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    encoder : str
        An encoder of timm.
    encoder_options : mapping, optional
        What timm is to build otherwise.
    output_stride : {16, 8}
        Stride of the pyramid's map; 8 is finer and takes four times the work. The
        weights are the same, so one can train at 16 and go on at 8.
    stem_pool : bool
        See above.
    multi_grid : sequence of int
        Relative dilations of the encoder's last blocks; empty for encoders without a
        ``layer4``.
    rates : sequence of int
        Dilations of the pyramid at an output stride of 16; at 8 they are doubled.
    width : int
        Channels of the pyramid; 256 in the paper.
    decoder : bool
        Whether a map of stride 4 refines the edges (v3+).
    separable : bool
        Depthwise separable convolutions in pyramid and decoder (v3+ with Xception).
    pretrained : bool
        Whether timm fetches trained weights of the encoder.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        encoder: str = "resnet50",
        encoder_options: Mapping[str, Any] | None = None,
        output_stride: int = 16,
        stem_pool: bool = True,
        multi_grid: Sequence[int] = MULTI_GRID,
        rates: Sequence[int] = RATES,
        width: int = 256,
        decoder: bool = False,
        separable: bool = False,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.divisor = output_stride
        self.encoder = Pyramid(
            encoder,
            in_channels,
            output_stride=output_stride,
            options=encoder_options,
            stem_pool=stem_pool,
            multi_grid=multi_grid,
            pretrained=pretrained,
        )
        rates = [rate * 16 // output_stride for rate in rates]
        deepest = self.encoder.channels[-1]
        self.pyramid = ASPP(deepest, width, rates, depthwise=separable)
        self.decoder: EdgeDecoder | None = None
        if decoder:
            self._fine = self.encoder.at(4 if stem_pool else 2)
            fine = self.encoder.channels[self._fine]
            self.decoder = EdgeDecoder(fine, width, depthwise=separable)
        self.head = nn.Conv2d(width, num_classes, kernel_size=1)
        for part in (self.pyramid, self.decoder, self.head):
            if part is not None:
                init_he(part)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits at the output stride, or at that of the decoder."""
        maps = self.encoder(x)
        found = self.pyramid(maps[-1])
        if self.decoder is not None:
            found = self.decoder(found, maps[self._fine])
        return {"out": self.head(found)}


class EdgeDecoder(nn.Module):
    """Joins the pyramid's map, enlarged, with a fine one of few channels.

    DeepLab v3+, section 3.1 and figure 2.
    """

    def __init__(self, fine: int, width: int, *, depthwise: bool = False) -> None:
        super().__init__()
        conv = separable if depthwise else cbr
        self.reduce = cbr(fine, LOW_LEVEL, 1)
        self.refine = nn.Sequential(conv(width + LOW_LEVEL, width), conv(width, width))

    def forward(self, x: Tensor, fine: Tensor) -> Tensor:
        """Coarse (N, C, H, W) and fine map -> (N, C, fine H, fine W)."""
        coarse = resize(x, fine.shape[2:])
        out: Tensor = self.refine(cat([coarse, self.reduce(fine)], dim=1))
        return out


def deeplab_v3plus(*args: Any, **options: Any) -> DeepLabV3:
    """DeepLab v3+; arguments as for `DeepLabV3`."""
    return DeepLabV3(*args, decoder=True, **options)
