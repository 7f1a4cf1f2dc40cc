"""Learning Deconvolution Network for Semantic Segmentation (2015), "DeconvNet".

Noh, Hong and Han, arXiv:1505.04366, figure 2 and table 2: VGG-16 with its two dense
layers, and its mirror image with max-unpoolings and transposed convolutions; batch
normalisation everywhere.

Departures from the paper:
  - it saw object proposals of 224 px, which its dense layers shrink to one pixel, and
    joined some 50 of them; this one sees the image, from 224 px (``core_px`` times 32);
  - ``width``, ``dense`` and ``core_px`` make it slimmer;
  - the ensemble with FCN-8s and the training in two stages are left out. Its last step,
    a dense CRF, is an option of every network (``--crf``).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from napari_seg.models.blocks.conv import Norm, init_he, norm_layer
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.unpooling import UnpoolingDecoder
from napari_seg.models.blocks.vgg import VGGEncoder


class DeconvNet(DenseNetwork):
    """VGG-16 and its mirror image.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    width : int
        Channels of the first and the last stage.
    dense : int
        Channels of the two dense layers.
    core_px : int
        Side of the first dense layer: how much of the coarsest map it sees.
    norm : {"batch", "group"}, optional
    """

    divisor = 32

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        width: int = 64,
        dense: int = 4096,
        core_px: int = 7,
        norm: Norm | None = "batch",
    ) -> None:
        super().__init__()
        self.least = core_px * self.divisor
        self.encoder = VGGEncoder(in_channels, width=width, norm=norm)
        last = self.encoder.channels[-1]

        def layer(conv: nn.Module, channels: int) -> list[nn.Module]:
            return [conv, norm_layer(norm, channels, 2), nn.ReLU(inplace=True)]

        self.dense = nn.Sequential(
            *layer(nn.Conv2d(last, dense, core_px), dense),
            *layer(nn.Conv2d(dense, dense, 1), dense),
            *layer(nn.ConvTranspose2d(dense, last, core_px), last),
        )
        self.decoder = UnpoolingDecoder(self.encoder.channels, norm, transposed=True)
        self.head = nn.Conv2d(width, num_classes, kernel_size=1)
        init_he(self)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits of the size of the image."""
        features = self.encoder(x)
        dense = self.dense(features.pooled[-1])
        return {"out": self.head(self.decoder(dense, features))}
