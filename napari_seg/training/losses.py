"""Losses of the dense networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def weighted_cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Pixel-wise softmax cross-entropy, each pixel with its weight.

    Ronneberger et al. 2015, equation 1, averaged over the pixels.

    Parameters
    ----------
    logits : Tensor of shape (N, K, *spatial)
        Of any float type; the loss is computed in float32.
    classes : Tensor of int64, shape (N, *spatial)
        Class numbers.
    weights : Tensor of float32, shape (N, *spatial)
        0 leaves a pixel out.

    Returns
    -------
    Tensor
        ``sum(w * CE) / number of pixels``, a scalar.
    """
    loss = functional.cross_entropy(logits.float(), classes, reduction="none")
    return (loss * weights).mean()
