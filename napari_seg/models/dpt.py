"""DPT: Vision Transformers for Dense Prediction (2021).

Ranftl, Bochkovskiy and Koltun, arXiv:2103.13413, section 3 and figure 1: tokens of four
layers of a vision transformer are reassembled into maps at four strides, and fused from
coarse to fine as in RefineNet. The transformer is timm's.

Departures from the paper:
  - the patch may be smaller than 16 px (``patch_px=8``: maps at strides 2, 4, 8, 16),
    for nuclei of 20 px would be less than two patches wide;
  - with ``stem`` the two finest maps and the input of the transformer come from a few
    plain convolutions, where DPT-Hybrid takes those of a ResNet-50;
  - the first residual unit of the coarsest fusion, which nothing reaches, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from napari_seg.models.blocks.conv import Norm, conv_norm_act, init_he
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.encoder import build_encoder
from napari_seg.models.blocks.reassemble import Readout, Reassemble
from napari_seg.models.blocks.refinenet import Fusion

LEVELS = 4
"""Maps that are fused, at strides of patch / 4 to patch * 2."""
STEM_LEVELS = 2
"""How many of them a stem makes."""


class DPT(DenseNetwork):
    """A vision transformer with a convolutional decoder.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    encoder : str
        A vision transformer of timm, e.g. ``"vit_base_patch16_224"``.
    encoder_options : mapping, optional
        What timm is to build otherwise, e.g. ``{"embed_dim": 48, "depth": 4}``.
    patch_px : int
        Stride of the tokens in the image: a power of 2 from 8.
    image_px : int
        Side of the image whose positions the transformer learns. For others the
        position embeddings are resampled.
    stem : bool
        Whether convolutions make the two finest maps (see above).
    taps : sequence of int
        Transformer blocks, counted from 0, whose tokens are used, one for each map that
        the stem does not make; by default evenly spaced up to the last (for ViT-Base
        2, 5, 8 and 11).
    readout : {"ignore", "add", "project"}
        What becomes of the readout token.
    channels : sequence of int
        Channels of the four maps before fusion, finest first.
    fusion : int
        Channels from the fusion on.
    norm : {"batch", "group"}, optional
        Normalisation in the fusion.
    dropout : float
        Probability before the last convolution of both heads.
    pretrained : bool
        Whether timm fetches trained weights of the encoder (kept in its cache).

    Attributes
    ----------
    divisor : int
        Total stride of the coarsest map.
    """

    align_corners = True  # as the authors' code
    encoder: Any
    """timm's transformer, of which `torch.nn.Module` tells less than we use."""

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        encoder: str = "vit_base_patch16_224",
        encoder_options: Mapping[str, Any] | None = None,
        patch_px: int = 16,
        image_px: int = 384,
        stem: bool = False,
        taps: Sequence[int] | None = None,
        readout: Readout = "project",
        channels: Sequence[int] = (96, 192, 384, 768),
        fusion: int = 256,
        norm: Norm | None = "batch",
        dropout: float = 0.1,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        _check(patch_px, channels)
        self.divisor = 2 * patch_px
        made = STEM_LEVELS if stem else 0
        self.stem = _stem(in_channels, channels[:made], patch_px // LEVELS)
        stride = patch_px // 2 if stem else 1
        self.encoder = build_encoder(
            encoder,
            pretrained=pretrained,
            in_chans=channels[made - 1] if stem else in_channels,
            img_size=image_px // stride,
            patch_size=patch_px // stride,
            num_classes=0,
            global_pool="",
            final_norm=False,
            dynamic_img_size=True,
            **(encoder_options or {}),
        )
        self.taps = tuple(taps or _ends(len(self.encoder.blocks))[made:])
        embed = int(self.encoder.embed_dim)
        self.reassemble = nn.ModuleList(
            Reassemble(
                embed, channels[level], scale=2.0 ** (2 - level), readout=readout
            )
            for level in range(made, LEVELS)
        )
        self.equalise = nn.ModuleList(
            nn.Conv2d(n, fusion, 3, padding=1, bias=False) for n in channels
        )
        self.fusions = nn.ModuleList(
            Fusion(fusion, norm, has_skip=level < LEVELS - 1) for level in range(LEVELS)
        )
        self.head = _head(fusion, num_classes, dropout)
        self.auxiliary = _head(fusion, num_classes, dropout)
        for part in self.children():
            if part is not self.encoder:  # timm has drawn its own
                init_he(part)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits; the auxiliary head (section 4.2) reads the penultimate fusion."""
        maps = [
            conv(part)
            for conv, part in zip(self.equalise, self._pyramid(x), strict=True)
        ]
        fused, penultimate = maps[-1], maps[-1]
        for level in reversed(range(LEVELS)):
            penultimate = fused
            skip = maps[level] if level < LEVELS - 1 else None
            fused = self.fusions[level](fused, skip)
        found = {"out": self.head(fused)}
        if self.training:
            found["aux"] = self.auxiliary(penultimate)
        return found

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        """Four maps, finest first, each of half the resolution of the one before."""
        maps: list[Tensor] = []
        for stage in self.stem:
            x = stage(x)
            maps.append(x)
        found = self.encoder.forward_intermediates(
            x,
            indices=list(self.taps),
            return_prefix_tokens=True,
            intermediates_only=True,
        )
        for reassemble, (tokens, prefix) in zip(self.reassemble, found, strict=True):
            maps.append(reassemble(tokens, prefix[:, 0]))
        return maps


def _stem(in_channels: int, channels: Sequence[int], stride: int) -> nn.ModuleList:
    """Stages of convolutions; the first shrinks by `stride`, the next by 2."""
    stages = nn.ModuleList()
    for number, width in enumerate(channels):
        halvings = (stride if number == 0 else 2).bit_length() - 1
        layers = []
        for _ in range(halvings):
            layers.append(conv_norm_act(in_channels, width, norm="batch", stride=2))
            in_channels = width
        layers.append(conv_norm_act(width, width, norm="batch"))
        stages.append(nn.Sequential(*layers))
    return stages


def _head(channels: int, num_classes: int, dropout: float) -> nn.Sequential:
    """3x3 convolution, normalisation, ReLU, dropout, logits (section 4.2)."""
    return nn.Sequential(
        conv_norm_act(channels, channels, norm="batch"),
        nn.Dropout(dropout),
        nn.Conv2d(channels, num_classes, kernel_size=1),
    )


def _ends(depth: int) -> list[int]:
    """Last block of each quarter of the transformer."""
    return [depth * (i + 1) // LEVELS - 1 for i in range(LEVELS)]


def _check(patch_px: int, channels: Sequence[int]) -> None:
    if patch_px < 8 or patch_px & (patch_px - 1):
        raise ValueError(f"patch_px must be a power of 2 from 8 (found: {patch_px}).")
    if len(channels) != LEVELS:
        raise ValueError(f"channels needs {LEVELS} numbers (found: {channels}).")
