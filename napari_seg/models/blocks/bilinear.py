"""Bilinear interpolation as the kernel of a transposed convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def bilinear_kernel(factor: int) -> Tensor:
    """Kernel with which a transposed convolution interpolates linearly.

    Returns
    -------
    Tensor of float32, shape (k, k), k = 2 factor - factor % 2
        Sums to factor squared. For stride `factor` and padding ceil((factor - 1) / 2)
        it does what interpolation without aligned corners does, but for a border of
        half a factor, where it takes zeros for what lies beyond. The formula of Caffe
        (Long et al., arXiv:1411.4038, section 3.3); with other sides it is lopsided.
    """
    side = 2 * factor - factor % 2
    half = (side + 1) // 2
    centre = (2 * half - 1 - half % 2) / (2 * half)
    taps = 1 - (torch.arange(side) / half - centre).abs()
    return taps[:, None] * taps[None, :]


def fill_bilinear(conv: nn.ConvTranspose2d) -> None:
    """Let a transposed convolution start as bilinear interpolation of each channel.

    ValueError if its kernel is not 2 factor - factor % 2 pixels wide.
    """
    factor, side = conv.stride[0], conv.kernel_size[0]
    if side != 2 * factor - factor % 2:
        raise ValueError(
            f"A bilinear kernel of stride {factor} has {2 * factor - factor % 2} "
            f"pixels (found: {side})."
        )
    with torch.no_grad():
        conv.weight.zero_()
        if conv.bias is not None:
            conv.bias.zero_()
        for channel in range(min(conv.in_channels, conv.out_channels)):
            conv.weight[channel, channel] = bilinear_kernel(factor)
