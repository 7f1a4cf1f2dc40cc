"""Dilated Residual Networks (2017).

Yu, Koltun and Funkhouser, arXiv:1705.09914, figures 3 and 5: ResNets that stop halving
at stride 8 and dilate instead. A is just that, and shows a grid in its output. C and D
replace the max-pooling by convolutions, and remove the grid by two more levels of
dilations 2 and 1 without residual connections: blocks of two convolutions in C, single
convolutions in D, which is also plainer at full resolution.

Departures from the paper: ``width`` makes it slimmer; the scores are interpolated. The
authors have a fixed bilinear kernel, which does the same but for 4 px at the border.
"""

from __future__ import annotations

from typing import Any, Literal

from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from napari_seg.models.blocks.context import cbr
from napari_seg.models.blocks.conv import init_he, start_small
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.pyramid import Pyramid

Variant = Literal["A", "C", "D"]
SMALL = (1, 1, 2, 2, 2, 2)
LARGE = (1, 1, 3, 4, 6, 3)
LEVELS: dict[tuple[str, int], tuple[Any, tuple[int, ...], int]] = {
    ("C", 26): (BasicBlock, SMALL, 1),
    ("C", 42): (BasicBlock, LARGE, 1),
    ("C", 58): (Bottleneck, LARGE, 1),
    ("D", 22): (BasicBlock, SMALL, 1),
    ("D", 24): (BasicBlock, SMALL, 2),
    ("D", 38): (BasicBlock, LARGE, 1),
    ("D", 40): (BasicBlock, LARGE, 2),
    ("D", 54): (Bottleneck, LARGE, 1),
    ("D", 105): (Bottleneck, (1, 1, 3, 4, 23, 3), 1),
}
"""Block, blocks of levels 1 to 6, and of each of the two levels against the grid."""
DEPTHS = {"A": (18, 34, 50, 101), "C": (26, 42, 58), "D": (22, 24, 38, 40, 54, 105)}
WIDENING = (1, 2, 4, 8, 16, 32)
STRIDES = (1, 2, 2, 2, 1, 1)
DILATIONS = (1, 1, 1, 1, 2, 4)


class DRNTrunk(nn.Sequential):
    """Levels 0 to 8 of a DRN-C or DRN-D, at stride 8.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    variant : {"C", "D"}
    depth : int
        Layers, as the authors count them.
    width : int
        Channels of the first level; 16 in the paper.

    Attributes
    ----------
    channels : int
        Of the last level.
    """

    def __init__(self, in_channels: int, variant: str, depth: int, width: int) -> None:
        block, counts, last = LEVELS[variant, depth]
        levels = [cbr(in_channels, width, 7)]
        n_in = width
        for level in range(6):
            n_out, stride = width * WIDENING[level], STRIDES[level]
            # Full resolution is dear: there no bottlenecks, and in D no residuals.
            if level < 2 and variant == "D":
                made = _plain(n_in, n_out, counts[level], stride=stride)
            else:
                kind = BasicBlock if level < 2 else block
                made = _residual(
                    kind, n_in, n_out, counts[level], stride, DILATIONS[level]
                )
                n_out *= kind.expansion
            levels.append(made)
            n_in = n_out
        for rate in (2, 1):
            # A block of C without its residual connection is two convolutions.
            count = last * (2 if variant == "C" else 1)
            levels.append(_plain(n_in, 32 * width, count, rate=rate))
            n_in = 32 * width
        super().__init__(*levels)
        self.channels = n_in
        init_he(self)

    @property
    def dilated(self) -> tuple[nn.Module, nn.Module]:
        """The two levels that are dilated instead of strided: 5 and 6."""
        return self[5], self[6]


class DRN(DenseNetwork):
    """A dilated residual network with a 1x1 convolution for scores.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    variant : {"A", "C", "D"}
        Without anything against the grid, or with; see above.
    depth : int
        Layers: 18, 34, 50 or 101 (A), 26, 42 or 58 (C), 22, 24, 38, 40, 54 or 105 (D).
    width : int
        Channels of the first level of C and D, a quarter of those of A; 16 in the
        paper.
    """

    divisor = 8

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        variant: Variant = "D",
        depth: int = 22,
        width: int = 16,
    ) -> None:
        super().__init__()
        if variant not in DEPTHS or depth not in DEPTHS[variant]:
            known = "; ".join(f"{name}: {depths}" for name, depths in DEPTHS.items())
            raise ValueError(f"There is no DRN-{variant}-{depth} (known: {known}).")
        self.encoder = build_trunk(in_channels, variant, depth, width)
        channels = self.encoder.channels
        last = channels if isinstance(channels, int) else channels[-1]
        (self.head,) = start_small([nn.Conv2d(last, num_classes, kernel_size=1)])

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits at stride 8."""
        found = self.encoder(x)
        return {"out": self.head(found[-1] if isinstance(found, list) else found)}


def build_trunk(
    in_channels: int, variant: str, depth: int, width: int
) -> DRNTrunk | Pyramid:
    """Build the levels of a DRN; A is a dilated ResNet of timm."""
    if variant != "A":
        return DRNTrunk(in_channels, variant, depth, width)
    channels = tuple(width * times for times in (4, 8, 16, 32))
    options = {"channels": channels, "stem_width": channels[0]}
    return Pyramid(f"resnet{depth}", in_channels, output_stride=8, options=options)


def _plain(
    n_in: int, n_out: int, count: int, *, stride: int = 1, rate: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        *(
            cbr(n_out if i else n_in, n_out, rate=rate, stride=1 if i else stride)
            for i in range(count)
        )
    )


def _residual(
    block: Any, n_in: int, n_out: int, count: int, stride: int, rate: int
) -> nn.Sequential:
    wide = n_out * block.expansion
    shortcut = None
    if stride != 1 or n_in != wide:
        conv = nn.Conv2d(n_in, wide, 1, stride, bias=False)
        shortcut = nn.Sequential(conv, nn.BatchNorm2d(wide))
    blocks = [block(n_in, n_out, stride, shortcut, dilation=rate)]
    blocks += [block(wide, n_out, dilation=rate) for _ in range(count - 1)]
    return nn.Sequential(*blocks)
