"""SegNet: A Deep Convolutional Encoder-Decoder Architecture (2015, 2017).

Badrinarayanan, Kendall and Cipolla, arXiv:1511.00561, figure 2: the convolutions of
VGG-16, and a decoder that mirrors them. Of the encoder it gets nothing but where each
maximum was: no skips, no learnt enlargement, hence little memory.

Departures from the paper: ``width`` makes it slimmer; the softmax is left to the loss.
Its balance of classes by median frequency is ``--balance-classes`` in training.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from napari_seg.models.blocks.conv import Norm, init_he
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.unpooling import UnpoolingDecoder
from napari_seg.models.blocks.vgg import VGGEncoder


class SegNet(DenseNetwork):
    """VGG-16 without its dense layers, and its mirror image.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    width : int
        Channels of the first and the last stage; those between have up to eight times
        as many.
    norm : {"batch", "group"}, optional
    """

    divisor = 32

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        width: int = 64,
        norm: Norm | None = "batch",
    ) -> None:
        super().__init__()
        self.encoder = VGGEncoder(in_channels, width=width, norm=norm)
        self.decoder = UnpoolingDecoder(self.encoder.channels, norm, omit_last=True)
        self.head = nn.Conv2d(width, num_classes, 3, padding=1)
        init_he(self)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits of the size of the image."""
        features = self.encoder(x)
        return {"out": self.head(self.decoder(features.pooled[-1], features))}
