"""Understanding Convolution for Semantic Segmentation (2018): HDC and DUC.

Wang et al., arXiv:1702.08502. Hybrid dilated convolution (section 3.2 and table 3): the
blocks of the dilated stages of a ResNet get rates that, one after the other, leave no
holes. Dense upsampling convolution (section 3.1 and figure 1): a convolution computes,
at stride 8, the scores of 8x8 pixels as channels, which are then put in place.

Departures from the paper: trained with the losses of this program; rates "1-2-5" and
"2-2-2" are from its discussion of gridding, not from its tables; instead of a ResNet
also a DRN may be dilated so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from napari_seg.models.blocks.conv import start_small
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.pyramid import Pyramid, set_dilation
from napari_seg.models.deeplab import ASPPSum
from napari_seg.models.drn import DRNTrunk

RATES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "2-2-2": ((2,), (4,)),
    "1-2-5": ((1, 2, 5), (1, 2, 5)),
    "1-2-5-9": ((1, 2, 5, 9), (5, 9, 17)),
}
"""Dilations of the blocks of the last two stages, repeated: those of DeepLab, which see
a grid; without holes; and without holes and far (table 3, "Dilation-bigger")."""


class HDC(DenseNetwork):
    """A ResNet with hybrid dilations and dense upsampling convolution.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    rates : {"1-2-5-9", "1-2-5", "2-2-2"}
        A name of `RATES`.
    encoder : str
        A ResNet of timm, or ``"drn"`` for a DRN-D-22.
    encoder_options : mapping, optional
        What timm is to build otherwise; of a DRN ``depth`` and ``width``.
    stem_pool : bool
        False leaves out the max-pooling of a ResNet's stem, see `Pyramid`.
    head_rates : sequence of int
        Dilations of the convolutions that give the scores, which are summed. The paper
        has one; the authors' code has four, of 6, 12, 18 and 24.
    cell_px : int
        Pixels per side whose scores are computed at once: 8 for full resolution, less
        for the rest to be interpolated (the authors' code: 4).
    pretrained : bool
        Whether timm fetches trained weights of the encoder.
    """

    divisor = 8

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        rates: str = "1-2-5-9",
        encoder: str = "resnet101",
        encoder_options: Mapping[str, Any] | None = None,
        stem_pool: bool = True,
        head_rates: Sequence[int] = (1,),
        cell_px: int = 8,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        if rates not in RATES:
            raise ValueError(f"rates must be one of {tuple(RATES)} (found: {rates!r}).")
        self.cell_px = cell_px
        self.encoder: DRNTrunk | Pyramid
        if encoder == "drn":
            options = {"depth": 22, "width": 16, **(encoder_options or {})}
            self.encoder = DRNTrunk(in_channels, "D", **options)
            last, stages = self.encoder.channels, self.encoder.dilated
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
            stages = self.encoder.net.layer3, self.encoder.net.layer4
        for stage, of_stage in zip(stages, RATES[rates], strict=True):
            set_dilation(stage, of_stage)
        scores = num_classes * cell_px**2
        self.head = ASPPSum(
            start_small(
                [
                    nn.Conv2d(last, scores, 3, padding=rate, dilation=rate)
                    for rate in head_rates
                ]
            )
        )

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits in cells of `cell_px`; class-major, as `pixel_shuffle` wants them."""
        found = self.encoder(x)
        scores = self.head(found[-1] if isinstance(found, list) else found)
        return {"out": functional.pixel_shuffle(scores, self.cell_px)}
