"""Fully Convolutional Networks for Semantic Segmentation (2015).

Long, Shelhamer and Darrell, arXiv:1411.4038, figure 3 and section 4: VGG-16, whose
fully connected layers have become convolutions, gives scores at stride 32, which are
enlarged by fixed bilinear kernels; FCN-16s and FCN-8s add scores of the fourth and the
third pooling on the way. Geometry as in the authors' code: the first convolution pads
by 100 px, so that no image is too small, and every map is cropped to where it belongs.

Departures from the paper, all of them options:
  - ``rim_px=1`` pads every convolution just enough instead, which computes a fifth for
    a tile of 160 px;
  - ``core_px``: on a patch of 160 px the layer of 7x7 would learn from zeros beyond the
    border more than from the patch, and on a larger image not know what it sees;
  - ``width``, ``dense`` and ``norm``, to train slim ones from nothing: the authors
    started from VGG's weights, and each finer network from the coarser one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from napari_seg.models.blocks.bilinear import fill_bilinear
from napari_seg.models.blocks.conv import Norm, init_he
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.vgg import VGGEncoder, dense_layer

RIM_PX = 100
"""Padding of the first convolution in the authors' code."""
CORE_PX = 7
"""Side of the maps that VGG's first fully connected layer reads."""
SHIFTS = {RIM_PX: (5, 9), 1: (-1, -1)}
"""Where the enlarged scores begin in those of the fourth and of the third pooling. A
kernel of 4 px and stride 2 makes two pixels too many: with no rim they overhang."""
CROPS = {RIM_PX: {32: 19, 16: 27, 8: 31}, 1: {32: 16, 16: 8, 8: 4}}
"""Where the image begins in the enlarged scores, by stride."""


class FCN(DenseNetwork):
    """VGG-16 made fully convolutional, with added skips.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    width : int
        Channels of the first stage of VGG; the last has eight times as many.
    dense : int
        Channels of the two layers that were fully connected.
    rim_px : {100, 1}
        Padding of the first convolution; with 1 the next layer of more than 3x3 is
        padded as well.
    core_px : int
        Side of the first layer that was fully connected; other than 7 with a rim of 1.
    norm : {"batch", "group"}, optional
    dropout : float
        After each of the two layers (VGG has it).
    skip_scales : (float, float)
        Factors of the fourth and of the third pooling before they are scored; 0.01 and
        0.0001 where the authors train FCN-8s at once (arXiv:1605.06211, section 4.4).
    """

    divisor = 32
    stride: ClassVar[int] = 32
    """Of the finest scores: 32, 16 or 8."""

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        width: int = 64,
        dense: int = 4096,
        rim_px: int = RIM_PX,
        core_px: int = CORE_PX,
        norm: Norm | None = None,
        dropout: float = 0.5,
        skip_scales: Sequence[float] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        if rim_px not in CROPS:
            raise ValueError(f"rim_px must be 100 or 1 (found: {rim_px}).")
        if not core_px % 2 or (core_px != CORE_PX and rim_px == RIM_PX):
            raise ValueError(
                f"core_px must be odd, and {CORE_PX} with a rim of {RIM_PX} "
                f"(found: {core_px})."
            )
        self.shifts, self.crop = SHIFTS[rim_px], CROPS[rim_px][self.stride]
        self.skip_scales = tuple(skip_scales)
        self.encoder = VGGEncoder(
            in_channels, width=width, norm=norm, first_padding=rim_px
        )
        last = self.encoder.channels[-1]
        rim = core_px // 2 if rim_px == 1 else 0
        self.dense = nn.Sequential(
            *dense_layer(nn.Conv2d(last, dense, core_px, padding=rim), norm, dropout),
            *dense_layer(nn.Conv2d(dense, dense, 1), norm, dropout),
        )
        levels = {32: 1, 16: 2, 8: 3}[self.stride]
        widths = (dense, last, self.encoder.channels[2])[:levels]
        self.head = nn.ModuleList(nn.Conv2d(n, num_classes, 1) for n in widths)
        init_he(self)
        steps = (*(2,) * (levels - 1), self.stride)
        self.enlarge = nn.ModuleList(_fixed(num_classes, step) for step in steps)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Coarse scores, enlarged and added to finer ones, then to full size."""
        size = x.shape[2:]
        pooled = self.encoder(x).pooled
        scores = self.head[0](self.dense(pooled[4]))
        for head, enlarge, skip, shift, scale in zip(
            list(self.head)[1:],
            list(self.enlarge)[:-1],
            (pooled[3], pooled[2]),
            self.shifts,
            self.skip_scales,
            strict=False,  # coarser networks have fewer skips
        ):
            scores = _add(enlarge(scores), head(skip * scale), shift)
        scores = self.enlarge[-1](scores)
        for axis in (2, 3):
            scores = scores.narrow(axis, self.crop, size[axis - 2])
        return {"out": scores}


class FCN32s(FCN):
    """FCN whose scores have stride 32."""

    stride = 32


class FCN16s(FCN):
    """FCN with the scores of the fourth pooling."""

    stride = 16


class FCN8s(FCN):
    """FCN with the scores of the fourth and of the third pooling."""

    stride = 8


def _fixed(classes: int, factor: int) -> nn.ConvTranspose2d:
    """Transposed convolution that interpolates, and learns nothing (section 4.3)."""
    conv = nn.ConvTranspose2d(classes, classes, 2 * factor, stride=factor, bias=False)
    fill_bilinear(conv)
    return conv.requires_grad_(False)


def _add(scores: Tensor, skip: Tensor, shift: int) -> Tensor:
    """Add scores that begin at pixel `shift` of the skip, and keep what both have."""
    for axis in (2, 3):
        if shift < 0:
            scores = scores.narrow(axis, -shift, skip.shape[axis])
        else:
            skip = skip.narrow(axis, shift, scores.shape[axis])
    total: Tensor = torch.add(scores, skip)
    return total
