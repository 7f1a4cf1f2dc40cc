"""U-Net: Convolutional Networks for Biomedical Image Segmentation (2015).

Ronneberger, Fischer and Brox, arXiv:1505.04597, figure 1; in three dimensions
3D U-Net (Cicek et al., arXiv:1606.06650, figure 2) with ``scheme="2016"``.

Departures from the paper, all of them options:
  - ``padding="same"`` pads the convolutions, so the output is as large as the input;
  - ``norm`` adds batch or group normalisation, and drops the bias it makes useless;
  - ``upsampling`` replaces the 2x2 transposed convolution by another enlargement;
  - ``attention`` weighs the channels of every level of the encoder (squeeze and
    excitation), or lets the pixels of the coarsest look at each other (non-local). What
    a tile shows then has a say in each of its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, cat, nn
from torch.nn import functional

from napari_seg.models.blocks.attention import NonLocal, SqueezeExcitation
from napari_seg.models.blocks.conv import (
    CONV,
    MAX_POOL,
    Norm,
    Padding,
    conv_norm_act,
    crop_center,
    init_he,
)
from napari_seg.models.blocks.upsample import Upsampling, build_upsampler, check_mode
from napari_seg.models.blocks.window import Window, grow, take

Scheme = Literal["2015", "2016"]
Attention = Literal["se", "non-local"]
LOOKS_PX = {"resize-conv": 1, "bilinear": 2, "bicubic": 4}
"""How far ways to enlarge a map by 2 look around, in pixels of the result."""


class UNet(nn.Module):
    """Encoder and decoder with concatenated skips, in 2D or 3D.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    ndim : {2, 3}
        Spatial dimensions.
    channels : sequence of int
        Channels of each level, finest first; ``len(channels) - 1`` poolings.
    padding : {"valid", "same"}
        ``"valid"`` as in the paper: the output is `margin` pixels smaller per side.
    upsampling : str
        A 2x2 transposed convolution, or another of `Upsampling` but max-unpooling:
        skips bring more than switches do. Valid ones take none that looks beyond the
        border, which bilinear and bicubic do.
    norm : {"batch", "group"}, optional
        Normalisation between convolution and ReLU.
    dropout : float
        Probability at the end of the contracting path (paper, section 3.1).
    scheme : {"2015", "2016"}
        Where channels double: at the first convolution after the pooling (2015), or
        at the last one before it, with upsampling that keeps channels (2016).
    attention : {"se", "non-local"}, optional
        See above.
    flat_levels : int
        In 3D, the finest levels between which only rows and columns are halved: for
        stacks whose planes are farther apart than pixels. With ``padding="same"``.

    Attributes
    ----------
    divisor : int
        Total stride: tile steps must be multiples of it.
    z_divisor : int
        The same along the planes of a volume.
    margin : int
        Pixels that valid convolutions eat on every side; 0 if padded.
    min_size : int
        Shortest side that is taken.
    keeps_windows : bool
        True: `forward` takes the window of the output to compute.
    """

    keeps_windows = True

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        *,
        ndim: int = 2,
        channels: Sequence[int] = (64, 128, 256, 512, 1024),
        padding: Padding = "valid",
        upsampling: Upsampling = "transposed",
        norm: Norm | None = None,
        dropout: float = 0.0,
        scheme: Scheme = "2015",
        attention: Attention | None = None,
        flat_levels: int = 0,
    ) -> None:
        super().__init__()
        _check(ndim, channels, padding, upsampling, scheme, attention)
        _check_flat(flat_levels, ndim, len(channels) - 1, padding)
        self.ndim, self.padding = ndim, padding
        self.upsampling = upsampling
        self.depth = len(channels) - 1
        self.divisor = 2**self.depth
        self.z_divisor = 2 ** (self.depth - flat_levels)
        self.strides = _strides(ndim, self.depth, flat_levels)
        self.margin = 0 if padding == "same" else _margin(self.depth, upsampling)
        self.min_size = 1 if padding == "same" else self.input_size(1)

        def double(n_in: int, n_mid: int, n_out: int) -> nn.Sequential:
            first = conv_norm_act(n_in, n_mid, ndim=ndim, padding=padding, norm=norm)
            last = conv_norm_act(n_mid, n_out, ndim=ndim, padding=padding, norm=norm)
            return nn.Sequential(first, last)

        kind: dict[str, Any] = {
            "ndim": ndim,
            "padding": padding,
            "bias": scheme == "2015",
        }
        inputs = (in_channels, *channels[:-1])
        self.encoder = nn.ModuleList(
            double(n_in, n // 2 if scheme == "2016" else n, n)
            for n_in, n in zip(inputs, channels, strict=True)
        )
        self.pools = nn.ModuleList(MAX_POOL[ndim](stride) for stride in self.strides)
        self.dropout = nn.Dropout(dropout)
        self.upsamplers = nn.ModuleList()
        self.decoder = nn.ModuleList()
        coarser = zip(pairwise(reversed(channels)), reversed(self.strides), strict=True)
        for (n_low, n), stride in coarser:
            n_up = n_low if scheme == "2016" else n
            enlarge = build_upsampler(upsampling, n_low, n_up, factor=stride, **kind)
            self.upsamplers.append(enlarge)
            self.decoder.append(double(n + n_up, n, n))
        self.head = CONV[ndim](channels[0], num_classes, kernel_size=1)
        init_he(self)
        self.gates = nn.ModuleList(
            SqueezeExcitation(n) if attention == "se" else nn.Identity()
            for n in channels
        )
        self.look: nn.Module = nn.Identity()
        if attention == "non-local":
            self.look = NonLocal(channels[-1], ndim=ndim)

    def forward(
        self, x: Tensor, keep: Sequence[slice] | None = None
    ) -> dict[str, Tensor]:
        """Logits of an image, or of a window of it.

        Parameters
        ----------
        x : Tensor of shape (N, C, [D,] H, W)
            Normalised image. Padded nets take any size; for valid ones see
            `input_size`.
        keep : sequence of slice, optional
            Window of the output, one slice with start and stop per spatial axis. The
            decoder computes little more than it needs: of a tile, most of the rim
            that neighbours overlap is never computed at full resolution.

        Returns
        -------
        dict
            ``"out"``: logits (N, K, ...), smaller by `margin` per side, or of the
            size of `keep`.
        """
        size = x.shape[2:]
        x = self._fit(x)
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = self.gates[level](block(self.pools[level - 1](x) if level else x))
            if level >= self.depth - 1:
                x = self.dropout(x)
            skips.append(x)
        x = self.look(skips.pop())
        if self.padding == "valid":
            x = self._decode_valid(x, skips)
        else:
            keep = keep or [slice(0, length) for length in size]
            return {"out": self.head(self._decode_window(x, skips, keep))}
        logits = self.head(x)
        return {"out": logits if keep is None else logits[(..., *keep)]}

    def _decode_valid(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        for upsampler, block in zip(self.upsamplers, self.decoder, strict=True):
            x = upsampler(x)
            x = block(cat([crop_center(skips.pop(), x.shape[2:]), x], dim=1))
        return x

    def _decode_window(
        self, x: Tensor, skips: list[Tensor], keep: Sequence[slice]
    ) -> Tensor:
        """Decode a window: at each level what the next finer one will look at."""
        windows = self._windows(keep, [skip.shape[2:] for skip in skips])
        x = take(x, [(0, 0)] * len(keep), windows[-1].needed)
        for level, upsampler, block in zip(
            reversed(range(self.depth)), self.upsamplers, self.decoder, strict=True
        ):
            window, coarse = windows[level], windows[level + 1]
            x = upsampler(x)
            scaled = zip(coarse.needed, self._steps(level), strict=True)
            have = [(step * low, step * high) for (low, high), step in scaled]
            x = take(x, have, window.seen)
            skip = take(skips.pop(), [(0, 0)] * len(keep), window.seen)
            x = take(block(cat([skip, x], dim=1)), window.seen, window.needed)
        return x

    def _windows(
        self, keep: Sequence[slice], sizes: Sequence[Sequence[int]]
    ) -> list[Window]:
        """Say what each level must give, and see, for a window of the output."""
        needed = [(part.start, part.stop) for part in keep]
        windows = []
        for level, size in enumerate(sizes):
            seen = grow(needed, 2, size)  # two 3x3 convolutions
            windows.append(Window(needed, seen))
            read = grow(seen, LOOKS_PX.get(self.upsampling, 0), size)
            needed = [
                (low // step, -(-high // step))
                for (low, high), step in zip(read, self._steps(level), strict=True)
            ]
        return [*windows, Window(needed, needed)]

    def _steps(self, level: int) -> tuple[int, ...]:
        """Return the stride below a level along each axis."""
        stride = self.strides[level]
        return (stride,) * self.ndim if isinstance(stride, int) else stride

    def input_size(self, at_least: int) -> int:
        """Smallest legal input length along one axis that is not below `at_least`."""
        if self.padding == "same":
            return -(-at_least // self.divisor) * self.divisor
        # Every pooling must see an even length, and something must be left.
        size = max(at_least, 2 * self.margin + 1)
        while not self._is_legal(size):
            size += 1
        return size

    def _is_legal(self, size: int) -> bool:
        for _ in range(self.depth):
            size -= 4
            if size <= 0 or size % 2:
                return False
            size //= 2
        return size > 4

    def _fit(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        if self.padding == "valid":
            for length in size:
                if length <= 2 * self.margin or not self._is_legal(length):
                    raise ValueError(
                        f"A valid U-Net of depth {self.depth} cannot take the input "
                        f"size {tuple(size)}. Use {self.input_size(length)} instead "
                        f"of {length}."
                    )
            return x
        steps = (self.z_divisor, self.divisor, self.divisor)[-len(size) :]
        missing = [-length % step for length, step in zip(size, steps, strict=True)]
        if not any(missing):
            return x
        pad = [n for extra in reversed(missing) for n in (0, extra)]
        return functional.pad(x, pad, mode="replicate")


def _margin(depth: int, upsampling: Upsampling) -> int:
    # Two 3x3 convolutions eat 2 pixels at the stride of their level, going down and
    # coming up; an unpadded resize-convolution eats one more on each way up.
    levels = 2**depth - 1
    return 4 * levels + 2 * 2**depth + (levels if upsampling == "resize-conv" else 0)


def _strides(ndim: int, depth: int, flat_levels: int) -> list[int | tuple[int, ...]]:
    """Return the stride between each level and the next coarser one."""
    flat = (1, *(2,) * (ndim - 1))
    return [flat if level < flat_levels else 2 for level in range(depth)]


def _check_flat(flat_levels: int, ndim: int, depth: int, padding: str) -> None:
    usable = depth if ndim == 3 and padding == "same" else 0
    if not 0 <= flat_levels <= usable:
        raise ValueError(
            f"flat_levels must be 0 to {usable} here (found: {flat_levels}). They are "
            "for padded networks in three dimensions."
        )


def _check(
    ndim: int,
    channels: Sequence[int],
    padding: str,
    upsampling: str,
    scheme: str,
    attention: str | None,
) -> None:
    if ndim not in CONV:
        raise ValueError(f"ndim must be 2 or 3 (found: {ndim}).")
    if len(channels) < 2:
        raise ValueError(f"A U-Net needs two or more levels (found: {channels}).")
    for name, value, allowed in (
        ("padding", padding, ("valid", "same")),
        ("scheme", scheme, ("2015", "2016")),
        ("attention", attention, (None, "se", "non-local")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {allowed} (found: {value!r}).")
    check_mode(upsampling, ndim)
    if upsampling == "max-unpool":
        raise ValueError("A U-Net has no max-unpool upsampling; SegNet has.")
    if padding == "valid" and upsampling in ("bilinear", "bicubic"):
        raise ValueError(f"{upsampling} upsampling needs padding='same'.")
