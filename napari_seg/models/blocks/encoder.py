"""Encoders of the timm library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import timm

from napari_seg.errors import UnknownModelError

if TYPE_CHECKING:
    from torch import nn


def build_encoder(name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """Build an encoder of timm, with trained weights if asked.

    Parameters
    ----------
    name : str
        As in ``timm.list_models()``.
    pretrained : bool, optional
        Fetch the weights from the Hugging Face hub, or take them from its cache.
    **options
        For ``timm.create_model``; the first layer and the position embeddings are
        adapted to them.

    Raises
    ------
    UnknownModelError
        If timm has no such encoder, or the weights cannot be had.
    """
    if not timm.is_model(name):
        raise UnknownModelError(
            f"timm has no encoder named {name!r}",
            remedy="Choose one of timm.list_models(), such as vit_tiny_patch16_224.",
        )
    try:
        encoder: nn.Module = timm.create_model(name, pretrained=pretrained, **options)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise UnknownModelError(
            f"The trained weights of {name} could not be had",
            str(error).splitlines()[0],
            "Connect to the internet once: they are kept for later. Or train without "
            "them.",
        ) from error
    return encoder
