"""Seven ways to enlarge a feature map, behind one call.

Nearest, bilinear and bicubic interpolation and the bed of nails have no weights of
their own; max-unpooling puts values where a pooling took them from (Zeiler et al.
2011; Noh et al., arXiv:1505.04366, section 3.2.1); a transposed convolution learns its
kernel, and a resize-convolution learns one after nearest interpolation (Odena et al.,
"Deconvolution and checkerboard artifacts", Distill 2016).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from napari_seg.models.blocks.conv import CONV, CONV_TRANSPOSE, Padding

Upsampling = Literal[
    "nearest",
    "bilinear",
    "bicubic",
    "bed-of-nails",
    "max-unpool",
    "transposed",
    "resize-conv",
]
"""Ways to enlarge a map."""
Factor = int | Sequence[int]
"""How much finer, along all axes or along each."""
_INTERPOLATION = {
    ("nearest", 2): "nearest",
    ("nearest", 3): "nearest",
    ("bilinear", 2): "bilinear",
    ("bilinear", 3): "trilinear",
    ("bicubic", 2): "bicubic",
}


def build_upsampler(
    mode: Upsampling,
    in_channels: int,
    out_channels: int,
    *,
    factor: Factor = 2,
    ndim: int = 2,
    kernel_px: int | None = None,
    padding: Padding = "same",
    bias: bool = True,
) -> nn.Module:
    """Make a layer that enlarges a map.

    Parameters
    ----------
    mode : str
        One of `Upsampling`.
    in_channels, out_channels : int
        Channels. Where they differ, a 1x1 convolution changes them, unless the mode
        has a convolution of its own.
    factor : int or sequence of int
        How much finer the result is, along each axis if they differ.
    ndim : {2, 3}
        Spatial dimensions; bicubic and max-unpooling have two.
    kernel_px : int, optional
        Side of the transposed kernel, `factor` by default: it is warned of others that
        overlap unevenly.
    padding : {"valid", "same"}
        Of the convolution after the resize.
    bias : bool
        Of the transposed convolution.

    Returns
    -------
    nn.Module
        (N, C, *spatial) -> (N, C', *factor * spatial), less 2 after an unpadded
        convolution. Max-unpooling also takes the switches, see `Unpool`.
    """
    check_mode(mode, ndim)
    layer: Callable[..., nn.Module] = CONV_TRANSPOSE[ndim]
    if mode == "transposed" and not isinstance(factor, int):
        return layer(in_channels, out_channels, factor, stride=factor, bias=bias)
    if mode == "transposed" and isinstance(factor, int):
        side = kernel_px or factor
        warn_of_checkerboard(side, factor)
        extra = side - factor
        return layer(
            in_channels,
            out_channels,
            side,
            stride=factor,
            padding=-(-extra // 2),
            output_padding=extra % 2,
            bias=bias,
        )
    if mode == "resize-conv":
        return ResizeConv(in_channels, out_channels, factor, ndim, padding)
    if mode == "max-unpool" and isinstance(factor, int):
        return Unpool(in_channels, out_channels, factor)
    return Enlarge(mode, in_channels, out_channels, factor, ndim)


class Enlarge(nn.Module):
    """Interpolation or a bed of nails, after a 1x1 convolution if channels change."""

    def __init__(
        self, mode: str, in_channels: int, out_channels: int, factor: Factor, ndim: int
    ) -> None:
        super().__init__()
        self.mode, self.factor = mode, factor
        self.conv = _pointwise(in_channels, out_channels, ndim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C', *factor * spatial)."""
        # Before, not after: with interpolation both are the same, only cheaper; the
        # gaps between nails would be filled by its bias.
        return enlarge(self.conv(x), self.mode, self.factor)


class ResizeConv(nn.Module):
    """Nearest-neighbour upsampling, then a 3x3 convolution.

    Every output pixel sees the same number of inputs, so it makes no checkerboard
    (Odena et al., Distill 2016).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        factor: Factor,
        ndim: int,
        padding: Padding,
    ) -> None:
        super().__init__()
        self.factor = factor
        rim = 1 if padding == "same" else 0
        self.conv = CONV[ndim](in_channels, out_channels, kernel_size=3, padding=rim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C', factor * spatial), less 2 if unpadded."""
        out: Tensor = self.conv(enlarge(x, "nearest", self.factor))
        return out


class Unpool(nn.Module):
    """Max-unpooling, after a 1x1 convolution if channels change."""

    def __init__(self, in_channels: int, out_channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = _pointwise(in_channels, out_channels, 2)

    def forward(
        self, x: Tensor, switches: Tensor, size: Sequence[int] | None = None
    ) -> Tensor:
        """(N, C, H, W) -> (N, C', factor * H, factor * W) or `size`, see `unpool`."""
        return unpool(self.conv(x), switches, self.factor, size)


def _pointwise(in_channels: int, out_channels: int, ndim: int) -> nn.Module:
    if in_channels == out_channels:
        return nn.Identity()
    return CONV[ndim](in_channels, out_channels, kernel_size=1)


def enlarge(x: Tensor, mode: str, factor: Factor) -> Tensor:
    """Enlarge (N, C, *spatial) by a whole factor without weights.

    Parameters
    ----------
    x : Tensor of shape (N, C, *spatial)
    mode : {"nearest", "bilinear", "bicubic", "bed-of-nails"}
        The bed of nails puts each value in the first pixel of its cell, among zeros.
        Bicubic has torch's constant a = -0.75.
    factor : int or sequence of int
    """
    ndim = x.ndim - 2
    check_mode(mode, ndim)
    steps = (factor,) * ndim if isinstance(factor, int) else tuple(factor)
    if mode == "bed-of-nails":
        cell = x.new_zeros((x.shape[1], 1, *steps))
        cell.flatten(2)[..., 0] = 1
        spread = (
            functional.conv_transpose2d if ndim == 2 else functional.conv_transpose3d
        )
        return spread(x, cell, stride=steps, groups=x.shape[1])
    interpolation = _INTERPOLATION[mode, ndim]
    corners = None if mode == "nearest" else False
    return functional.interpolate(
        x,
        scale_factor=[float(step) for step in steps],
        mode=interpolation,
        align_corners=corners,
    )


def unpool(
    x: Tensor, switches: Tensor, factor: int = 2, size: Sequence[int] | None = None
) -> Tensor:
    """Put pooled values back where they were, zeros elsewhere.

    Parameters
    ----------
    x, switches : Tensor of shape (N, C, H, W)
    factor : int
        Side and stride of the pooling.
    size : sequence of int, optional
        Rows and columns before the pooling, if they were no multiples of it.
    """
    rows, columns = size or [n * factor for n in x.shape[2:]]
    # Not `max_unpool2d`, which is not deterministic on a GPU and refuses half precision
    # on some: the cells of a pooling without overlap never meet.
    flat = x.new_zeros((*x.shape[:2], rows * columns))
    flat = flat.scatter(2, switches.flatten(2), x.flatten(2))
    return flat.view(*x.shape[:2], rows, columns)


def overlap(kernel_px: int, stride: int) -> list[int]:
    """How many kernels of a transposed convolution reach each pixel of a period."""
    return [len(range(phase, kernel_px, stride)) for phase in range(stride)]


def warn_of_checkerboard(kernel_px: int, stride: int) -> None:
    """Warn if a transposed convolution reaches some pixels more often than others."""
    counts = overlap(kernel_px, stride)
    if len(set(counts)) > 1:
        warnings.warn(
            f"A {kernel_px} px kernel of stride {stride} reaches pixels "
            f"{' or '.join(map(str, sorted(set(counts))))} times, which shows as a "
            f"checkerboard. Take a multiple of {stride}, or resize-conv.",
            stacklevel=3,
        )


def check_mode(mode: str, ndim: int = 2) -> None:
    """ValueError if there is no such way to enlarge, or not in so many dimensions."""
    if mode not in get_args(Upsampling):
        raise ValueError(
            f"upsampling must be one of {get_args(Upsampling)} (found: {mode!r})."
        )
    if ndim != 2 and mode in ("bicubic", "max-unpool"):
        raise ValueError(f"{mode} upsampling has two dimensions (found: {ndim}).")
