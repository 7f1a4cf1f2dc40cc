"""DeepLab v1 and v2 (2015, 2017): atrous convolutions, then a dense CRF.

Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs (Chen
et al., arXiv:1412.7062): VGG-16 whose last two poolings no longer halve, and a first
dense layer of 3x3 with rate 12, "LargeFOV" (section 3.1 and table 2). DeepLab (Chen
et al., arXiv:1606.00915): the same on a ResNet, and four such layers of rates 6, 12, 18
and 24 side by side, summed, "ASPP-L" (section 3.2 and figure 4).

In both papers the coarse scores are interpolated and a dense CRF finds the outlines. It
is a step of its own here: ``napari-seg segment --crf``, or the CRF in the panel; theirs
took 10 iterations, weights of 4 and 3, and spreads of 67 px and 3 grey values.

Departures from the papers:
  - logits are enlarged to the size of the labels; the authors shrank the labels;
  - ``width`` (or ``encoder_options``), ``dense`` and ``norm`` make slim ones that are
    trained from nothing, ``stem_pool=False`` keeps the cells of a few pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_seg.models.blocks.conv import Norm, init_he, start_small
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.pyramid import Pyramid
from napari_seg.models.blocks.vgg import VGGEncoder, dense_layer

STRIDES = (2, 2, 2, 1, 1)
DILATIONS = (1, 1, 1, 1, 2)


class LargeFOV(nn.Sequential):
    """A 3x3 convolution of a wide rate and two of 1x1: VGG's dense layers, thinned.

    Parameters
    ----------
    n_in, dense, num_classes, rate : int
        Channels of the map, of the two layers and of the scores; dilation.
    norm : {"batch", "group"}, optional
    dropout : float
    """

    def __init__(
        self,
        n_in: int,
        dense: int,
        num_classes: int,
        rate: int,
        norm: Norm | None,
        dropout: float,
    ) -> None:
        far = nn.Conv2d(n_in, dense, 3, padding=rate, dilation=rate)
        super().__init__(
            *dense_layer(far, norm, dropout),
            *dense_layer(nn.Conv2d(dense, dense, 1), norm, dropout),
            nn.Conv2d(dense, num_classes, 1),
        )


class ASPPSum(nn.ModuleList):
    """Atrous spatial pyramid pooling: branches of several rates, summed."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> scores (N, K, H, W)."""
        return torch.stack([branch(x) for branch in self]).sum(0)


class DeepLabV1(DenseNetwork):
    """VGG-16 at stride 8, with a large field of view.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    width : int
        Channels of the first stage of VGG.
    dense : int
        Channels of the two layers that were fully connected.
    rate : int
        Dilation of the first of them.
    norm : {"batch", "group"}, optional
    dropout : float
    """

    divisor = 8

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        width: int = 64,
        dense: int = 1024,
        rate: int = 12,
        norm: Norm | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.encoder = _dilated_vgg(in_channels, width, norm)
        # The authors' code averages 3x3 where VGG has its last max-pooling.
        self.smooth = nn.AvgPool2d(3, 1, 1)
        last = self.encoder.channels[-1]
        self.head = LargeFOV(last, dense, num_classes, rate, norm, dropout)
        init_he(self)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits at stride 8."""
        return {"out": self.head(self.smooth(self.encoder(x).pooled[-1]))}


class DeepLabV2(DenseNetwork):
    """A ResNet or VGG-16 at stride 8, with atrous spatial pyramid pooling.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    encoder : str
        A ResNet of timm, or ``"vgg16"``.
    encoder_options : mapping, optional
        What timm is to build otherwise.
    stem_pool : bool
        False leaves out the max-pooling of a ResNet's stem, see `Pyramid`.
    rates : sequence of int
        Dilations of the branches.
    scales : sequence of float
        Sizes in which the image is looked at; the highest score of each pixel counts
        (section 3.1 of arXiv:1606.00915: 1, 0.75 and 0.5). Each is taken as a fraction
        of sixteenths or coarser; `divisor` is 8 times their common denominator.
    width, dense, norm, dropout
        As in `DeepLabV1`; for VGG-16.
    pretrained : bool
        Whether timm fetches trained weights of the encoder.
    """

    divisor = 8

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        encoder: str = "resnet101",
        encoder_options: Mapping[str, Any] | None = None,
        stem_pool: bool = True,
        rates: Sequence[int] = (6, 12, 18, 24),
        scales: Sequence[float] = (1.0,),
        width: int = 64,
        dense: int = 1024,
        norm: Norm | None = None,
        dropout: float = 0.5,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        if not scales or not all(0 < scale <= 1 for scale in scales):
            raise ValueError(f"scales must lie in 0..1 (found: {tuple(scales)}).")
        self.scales = [Fraction(scale).limit_denominator(16) for scale in scales]
        # Each size of the image must be a multiple of the stride.
        self.divisor = 8 * math.lcm(*(scale.denominator for scale in self.scales))
        self.encoder: VGGEncoder | Pyramid
        if encoder == "vgg16":
            self.encoder = _dilated_vgg(in_channels, width, norm)
            last = self.encoder.channels[-1]
            branches: list[nn.Module] = [
                LargeFOV(last, dense, num_classes, rate, norm, dropout)
                for rate in rates
            ]
        else:
            self.encoder = Pyramid(
                encoder,
                in_channels,
                output_stride=8,
                options=encoder_options,
                stem_pool=stem_pool,
                pretrained=pretrained,
            )
            last = self.encoder.channels[-1]
            convs = [
                nn.Conv2d(last, num_classes, 3, padding=rate, dilation=rate)
                for rate in rates
            ]
            branches = [*start_small(convs)]
        self.head = ASPPSum(branches)
        if encoder == "vgg16":
            init_he(self)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits at stride 8, the highest of all scales."""
        found: Tensor | None = None
        for scale in self.scales:
            scores = self._of(_resize(x, [int(int(n) * scale) for n in x.shape[2:]]))
            if found is not None:
                scores = torch.maximum(found, _resize(scores, found.shape[2:]))
            found = scores
        return {"out": found}

    def _of(self, x: Tensor) -> Tensor:
        found = self.encoder(x)
        last = found[-1] if isinstance(found, list) else found.pooled[-1]
        scores: Tensor = self.head(last)
        return scores


def _dilated_vgg(in_channels: int, width: int, norm: Norm | None) -> VGGEncoder:
    return VGGEncoder(
        in_channels,
        width=width,
        norm=norm,
        strides=STRIDES,
        dilations=DILATIONS,
        pool_px=3,
    )


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    if list(x.shape[2:]) == list(size):
        return x
    return functional.interpolate(x, list(size), mode="bilinear", align_corners=False)
