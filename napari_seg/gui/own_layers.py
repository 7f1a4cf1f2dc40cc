"""Layers that the plugin adds to show something: nobody's images or labels."""

from __future__ import annotations

from typing import Any, TypeGuard

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

OWN_KEY = "napari_seg_own"
"""In the metadata of such a layer."""

_BRUSH_OVERLAYS = ("polygon", "brush_stroke")
"""Of a labels layer: napari's own tools draw on them."""


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


def add_unselected(viewer: ViewerModel, layer: Layer) -> None:
    """Add a layer that nobody paints on, and leave the selection as it is.

    napari would select it, show its controls, and prepare its brush and polygon. The
    user goes on with the layer she had, so that is half of the time for nothing, on
    the main thread. All use of napari's internals for it is in this function.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer on top.
    layer : Layer
        Not in any viewer yet.
    """
    for name in _BRUSH_OVERLAYS:
        overlay = getattr(layer, "_overlays", {}).get(name)
        if overlay is not None:
            # What is not visible is made when it is first shown.
            overlay.visible = False
    layers, selection = viewer.layers, viewer.layers.selection
    active, selected = selection.active, set(selection)
    selects = getattr(layers, "_activate_on_insert", None)
    if selects is not None:
        layers._activate_on_insert = False
    try:
        layers.append(layer)
    finally:
        if selects is not None:
            layers._activate_on_insert = selects
    if selection.active is not active or set(selection) != selected:
        selection.active = active
        selection.update(selected)
