"""BiSeNet: Bilateral Segmentation Network for real-time segmentation (2018).

Yu, Wang, Peng, Gao, Yu and Sang, arXiv:1808.00897, section 3 and figure 2: a shallow
spatial path keeps the detail, a fast deep context path sees far; the attention
refinement module (ARM) weighs the channels of the latter, the feature fusion module
(FFM) joins both. Two auxiliary heads on the context path are trained with full weight.

Departures from the paper:
  - as in the authors' code, which gives 1.5 million parameters where the paper speaks
    of 5.8: the ARM begins with a 3x3 convolution, and the context path has one more
    after each enlargement;
  - no mining of hard pixels in the loss;
  - ``stem_pool=False`` makes every map twice as fine, for small cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, cat, nn

from napari_seg.models.blocks.context import BatchNorm, cbr, fcn_head, resize
from napari_seg.models.blocks.conv import init_he
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.pyramid import Pyramid
from napari_seg.models.blocks.xception39 import Xception39

XCEPTION39 = "xception39"
STRIDE = 32
"""Of the context path."""


class BiSeNet(DenseNetwork):
    """Spatial path and context path.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    encoder : str
        ``"xception39"`` (the paper), or an encoder of timm with maps at strides 8, 16
        and 32.
    encoder_options : mapping, optional
        What timm is to build otherwise.
    stem_pool : bool
        See above.
    width : int
        Channels of the context path; 128 in the paper. The spatial path has as many at
        its end, half of them inside.
    pretrained : bool
        Whether timm fetches trained weights of the encoder.
    """

    align_corners = True  # as the authors' code

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        encoder: str = XCEPTION39,
        encoder_options: Mapping[str, Any] | None = None,
        stem_pool: bool = True,
        width: int = 128,
        pretrained: bool = False,
    ) -> None:
        stride = STRIDE if stem_pool else STRIDE // 2
        super().__init__()
        self.divisor = stride
        self.encoder: Xception39 | Pyramid
        if encoder == XCEPTION39:
            self.encoder = Xception39(in_channels, stem_pool=stem_pool)
        else:
            self.encoder = Pyramid(
                encoder,
                in_channels,
                options=encoder_options,
                output_stride=stride,
                stem_pool=stem_pool,
                pretrained=pretrained,
            )
        *_, middle, deepest = self.encoder.channels
        inner = width // 2
        self.spatial = nn.Sequential(
            cbr(in_channels, inner, 7, stride=2),
            cbr(inner, inner, stride=2),
            cbr(inner, inner, stride=2 if stem_pool else 1),
            cbr(inner, width, 1),
        )
        self.tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), *cbr(deepest, width, 1))
        self.arms = nn.ModuleList(Refinement(n, width) for n in (deepest, middle))
        self.refines = nn.ModuleList(cbr(width, width) for _ in range(2))
        self.fusion = FeatureFusion(2 * width)
        self.head = fcn_head(2 * width, num_classes, width=inner, dropout=0)
        self.auxiliary = nn.ModuleList(
            fcn_head(width, num_classes, width=width, dropout=0) for _ in range(2)
        )
        for part in self.children():
            if not isinstance(part, Pyramid):  # timm has drawn its own
                init_he(part)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits of the joined paths, and of the context path at two depths."""
        *_, fine, middle, deepest = self.encoder(x)
        above = self.tail(deepest)
        context = []
        for arm, refine, here, finer in zip(
            self.arms, self.refines, (deepest, middle), (middle, fine), strict=True
        ):
            joined = arm(here) + above
            size = finer.shape[2:]
            above = refine(resize(joined, size, align_corners=True))
            context.append(above)
        fused = self.fusion(self.spatial(x), above)
        found: dict[str, Any] = {"out": self.head(fused)}
        if self.training:
            found["aux"] = [
                head(each) for head, each in zip(self.auxiliary, context, strict=True)
            ]
        return found


class Refinement(nn.Module):
    """Attention refinement module: channels weighed by their means (figure 2b)."""

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.conv = cbr(n_in, width)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width, kernel_size=1, bias=False),
            BatchNorm(width),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width, H, W)."""
        x = self.conv(x)
        out: Tensor = x * self.gate(x)
        return out


class FeatureFusion(nn.Module):
    """Feature fusion module: both paths joined, the better channels raised (2c)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = cbr(width, width, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width, kernel_size=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, kernel_size=1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        """Two maps (N, C, H, W) -> (N, 2 C, H, W)."""
        x = self.conv(cat([spatial, context], dim=1))
        out: Tensor = x + x * self.gate(x)
        return out
