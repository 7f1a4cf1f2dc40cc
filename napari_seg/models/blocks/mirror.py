"""Images mirrored beyond their borders."""

from __future__ import annotations

import torch
from torch import Tensor


def mirror_pad(x: Tensor, rim_px: int) -> Tensor:
    """Mirror (N, C, H, W) beyond all four borders, by any number of pixels.

    The border itself is not repeated. torch's own padding refuses rims as wide as the
    image.
    """
    for axis in (2, 3):
        size = x.shape[axis]
        index = torch.arange(-rim_px, size + rim_px, device=x.device)
        period = max(2 * (size - 1), 1)
        index = index % period
        x = x.index_select(axis, torch.where(index < size, index, period - index))
    return x
