"""Layers that the plugin adds to show something: nobody's images or labels."""

from __future__ import annotations

from typing import Any, TypeGuard

from napari.layers import Image, Labels

OWN_KEY = "napari_seg_own"
"""In the metadata of such a layer."""


def is_own(layer: Any) -> bool:
    """Whether a layer was added to show something, and is no input."""
    return OWN_KEY in layer.metadata


def is_image(layer: Any) -> TypeGuard[Image]:
    """Whether a layer is an image of the user's."""
    return isinstance(layer, Image) and not is_own(layer)


def is_labels(layer: Any) -> TypeGuard[Labels]:
    """Whether a layer is labels of the user's."""
    return isinstance(layer, Labels) and not is_own(layer)


def is_image_or_labels(layer: Any) -> TypeGuard[Image | Labels]:
    """Whether a layer is an image or labels of the user's."""
    return is_image(layer) or is_labels(layer)
