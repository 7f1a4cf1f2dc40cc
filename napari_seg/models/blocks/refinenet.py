"""RefineNet's fusion of feature maps, coarse to fine.

Lin et al. 2016 (arXiv:1611.06612), figure 3, as Ranftl et al. 2021 (DPT,
arXiv:2103.13413) use it, section 3 and figure 1 (right).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from napari_seg.models.blocks.conv import Norm, norm_layer


class ResidualConvUnit(nn.Module):
    """x + conv(relu(conv(relu(x)))), normalised after each convolution if asked."""

    def __init__(self, channels: int, norm: Norm | None = None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            conv = nn.Conv2d(channels, channels, 3, padding=1, bias=norm is None)
            layers += [nn.ReLU(), conv, norm_layer(norm, channels, 2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same."""
        out: Tensor = x + self.layers(x)
        return out


class Fusion(nn.Module):
    """Adds a finer map to a coarser one and doubles the resolution.

    Parameters
    ----------
    channels : int
        Of both maps and of the result.
    norm : {"batch", "group"}, optional
    has_skip : bool
        False for the coarsest map, to which nothing is added. The reference code has a
        unit there that takes part in nothing and gets no gradient; this has none.
    """

    def __init__(
        self, channels: int, norm: Norm | None = None, *, has_skip: bool = True
    ) -> None:
        super().__init__()
        self.skip = ResidualConvUnit(channels, norm) if has_skip else None
        self.unit = ResidualConvUnit(channels, norm)
        self.project = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor, finer: Tensor | None = None) -> Tensor:
        """(N, C, H, W), and a map of the same shape -> (N, C, 2 H, 2 W)."""
        if self.skip is not None:
            assert finer is not None  # every level but the coarsest has one
            x = x + self.skip(finer)
        x = functional.interpolate(
            self.unit(x), scale_factor=2, mode="bilinear", align_corners=True
        )
        out: Tensor = self.project(x)
        return out
