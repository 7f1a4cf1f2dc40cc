"""PSPNet: Pyramid Scene Parsing Network (2017).

Zhao, Shi, Qi, Wang and Jia, arXiv:1612.01105, section 3 and figure 3: means over grids
of 1, 2, 3 and 6 cells join the map of a dilated ResNet, an auxiliary head on its last
but one stage helps the training (weight 0.4). Encoders are timm's.

Departures from the paper:
  - the stem of the ResNet is timm's, one 7x7 convolution for ``resnet50`` and the three
    3x3 ones of the authors' code for ``resnet50d``;
  - normalisation over one image of one cell, which has no variance, uses the running
    statistics, so a batch of 1 can be trained;
  - ``stem_pool=False`` makes every map twice as fine, for small cells.

What segmentation-models-pytorch calls PSPNet stops at the second stage, has a 1x1
convolution behind the pyramid and no auxiliary head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_seg.models.blocks.context import PyramidPooling, fcn_head
from napari_seg.models.blocks.conv import init_he
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.pyramid import Pyramid

if TYPE_CHECKING:
    from torch import Tensor

BINS = (1, 2, 3, 6)
"""Cells along an axis of the grids (section 3.2)."""


class PSPNet(DenseNetwork):
    """A dilated encoder, pyramid pooling, and an auxiliary head.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    encoder : str
        An encoder of timm.
    encoder_options : mapping, optional
        What timm is to build otherwise.
    output_stride : {8, 16, 32}
    stem_pool : bool
        See above.
    bins : sequence of int
        Cells along an axis of each grid.
    pretrained : bool
        Whether timm fetches trained weights of the encoder.
    """

    align_corners = True  # as the authors' code

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        encoder: str = "resnet50",
        encoder_options: Mapping[str, Any] | None = None,
        output_stride: int = 8,
        stem_pool: bool = True,
        bins: Sequence[int] = BINS,
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
            pretrained=pretrained,
        )
        *_, before, deepest = self.encoder.channels
        self.pool = PyramidPooling(deepest, bins)
        joined = deepest + len(bins) * (deepest // len(bins))
        self.head = fcn_head(joined, num_classes, width=deepest // 4)
        self.auxiliary = fcn_head(before, num_classes)
        for part in (self.pool, self.head, self.auxiliary):
            init_he(part)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits at the output stride, and the auxiliary ones."""
        *_, before, deepest = self.encoder(x)
        found = {"out": self.head(self.pool(deepest))}
        if self.training:
            found["aux"] = self.auxiliary(before)
        return found
