"""Convolution blocks shared by the dense networks, in two or three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from napari_seg.models.blocks.context import BatchNorm

Padding = Literal["valid", "same"]
Norm = Literal["batch", "group"]

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSE = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORM = {2: BatchNorm, 3: nn.BatchNorm3d}

GROUP_SIZE = 8
"""Channels per group of a group norm (the last group of an odd count is one)."""


def norm_layer(norm: Norm | None, channels: int, ndim: int) -> nn.Module:
    """Normalisation layer by name; the identity for None.

    Parameters
    ----------
    norm : {"batch", "group"} or None
    channels : int
        Channels to normalise.
    ndim : {2, 3}
        Spatial dimensions.
    """
    if norm is None:
        return nn.Identity()
    if norm == "batch":
        return BATCH_NORM[ndim](channels)
    if norm == "group":
        groups = channels // GROUP_SIZE if channels % GROUP_SIZE == 0 else 1
        return nn.GroupNorm(groups, channels)
    raise ValueError(f"norm must be 'batch', 'group' or None (found: {norm!r}).")


def conv_norm_act(
    in_channels: int,
    out_channels: int,
    *,
    ndim: int = 2,
    padding: Padding = "same",
    norm: Norm | None = None,
    stride: int = 1,
) -> nn.Sequential:
    """3x3 convolution, normalisation and ReLU.

    The convolution has a bias only where no normalisation follows to absorb it.
    """
    conv = CONV[ndim](
        in_channels,
        out_channels,
        kernel_size=3,
        stride=stride,
        padding=1 if padding == "same" else 0,
        bias=norm is None,
    )
    layers: list[nn.Module] = [conv]
    if norm is not None:
        layers.append(norm_layer(norm, out_channels, ndim))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def crop_center(x: Tensor, size: Sequence[int]) -> Tensor:
    """Crop the spatial axes of (N, C, *spatial) to `size` around the centre."""
    for axis, wanted in enumerate(size, start=2):
        start = (x.shape[axis] - wanted) // 2
        x = x.narrow(axis, start, wanted)
    return x


def init_he(module: nn.Module) -> None:
    """Initialise convolutions for ReLU: N(0, sqrt(2 / fan_in)), biases 0.

    He et al. 2015, used by the U-Net paper, section 3.
    """
    for layer in module.modules():
        if isinstance(layer, CONVOLUTIONS):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def start_small(convs: Sequence[nn.Conv2d]) -> list[nn.Conv2d]:
    """Initialise convolutions that give scores: N(0, 0.01), biases 0.

    He's weights would start several summed ones with steep probabilities. As the
    authors of DeepLab and DRN did.
    """
    for conv in convs:
        nn.init.normal_(conv.weight, std=0.01)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    return list(convs)
