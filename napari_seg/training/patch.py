"""What a training step learns from."""

from __future__ import annotations

from torch import Tensor

Patch = tuple[Tensor, Tensor, Tensor]
"""Image (C, Y, X), classes or ids (Y, X) and loss weights (Y, X), whichever the
objective has; batched with N in front."""
