"""DANet: Dual Attention Network for Scene Segmentation (2019).

Fu, Liu et al., arXiv:1809.02983, section 3 and figures 2 and 3: on the map of a dilated
ResNet every pixel attends to all pixels, and beside it every channel to all channels;
the sum of both and each alone are classified, and all three are trained.

Departures from the paper:
  - encoders are timm's; ``stem_pool=False`` makes every map twice as fine, for small
    cells, and the attention matrix sixteen times as large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from napari_seg.models.blocks.attention import ChannelAttention, PositionAttention
from napari_seg.models.blocks.context import cbr
from napari_seg.models.blocks.conv import init_he
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.pyramid import Pyramid


class DANet(DenseNetwork):
    """A dilated encoder, position and channel attention.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    encoder : str
        An encoder of timm with a ``layer4``.
    encoder_options : mapping, optional
        What timm is to build otherwise.
    output_stride : {8, 16}
    stem_pool : bool
        See above.
    multi_grid : sequence of int
        Relative dilations of the encoder's last blocks.
    dropout : float
        Probability before each of the three classifiers.
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
        multi_grid: Sequence[int] = (1, 2, 4),
        dropout: float = 0.1,
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
        deepest = self.encoder.channels[-1]
        width = deepest // 4
        self.to_position, self.to_channels = cbr(deepest, width), cbr(deepest, width)
        self.position, self.channels = PositionAttention(width), ChannelAttention()
        self.from_position, self.from_channels = cbr(width, width), cbr(width, width)
        self.head, self.position_head, self.channel_head = (
            nn.Sequential(nn.Dropout(dropout), nn.Conv2d(width, num_classes, 1))
            for _ in range(3)
        )
        for part in self.children():
            if part is not self.encoder:  # timm has drawn its own
                init_he(part)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits at the output stride, and those of either attention alone."""
        deepest = self.encoder(x)[-1]
        position = self.from_position(self.position(self.to_position(deepest)))
        channels = self.from_channels(self.channels(self.to_channels(deepest)))
        found: dict[str, Any] = {"out": self.head(position + channels)}
        if self.training:
            found["aux"] = [self.position_head(position), self.channel_head(channels)]
        return found
