"""A fully convolutional network that never changes the size of its maps.

The plainest way to a class for every pixel, with which lectures on segmentation begin
before they turn to pooling (Long et al. 2015, arXiv:1411.4038, speak against it in
section 3.2): a stack of padded 3x3 convolutions at full resolution. It is exact to the
pixel and costs much memory; after L layers a pixel sees 2 L + 1 pixels.

There is no paper of just this network, so there is nothing to depart from.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from napari_seg.models.blocks.conv import Norm, conv_norm_act, init_he
from napari_seg.models.blocks.dense import DenseNetwork


class EqualSizeFCN(DenseNetwork):
    """Padded 3x3 convolutions at full resolution.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    layers : int
        3x3 convolutions.
    width : int
        Channels of each.
    norm : {"batch", "group"}, optional
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        *,
        layers: int = 8,
        width: int = 64,
        norm: Norm | None = None,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers must be 1 or more (found: {layers}).")
        self.layers = nn.Sequential(
            *(
                conv_norm_act(width if number else in_channels, width, norm=norm)
                for number in range(layers)
            )
        )
        self.head = nn.Conv2d(width, num_classes, kernel_size=1)
        init_he(self)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits of the size of the image."""
        return {"out": self.head(self.layers(x))}
