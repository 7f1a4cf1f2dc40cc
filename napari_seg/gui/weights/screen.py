"""Send pieces of an image layer to the screen, instead of all of it.

`Image.refresh` uploads the whole plane: 64 MB for 4096 x 4096 pixels, which takes as
long as a repaint. All use of napari's and vispy's internals for it is in this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_seg.imaging.plane_store import PlaneStore
from napari_seg.imaging.slabs import Box, box_shape


def repaint_boxes(viewer: ViewerModel, layer: Image, boxes: Sequence[Box]) -> None:
    """Bring boxes of a layer's data to the screen.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; without a window there is nothing to do but to slice.
    layer : Image
        Its data, a NumPy array or a `PlaneStore`, were changed inside the boxes. All
        of them are in the plane shown.
    boxes : sequence of tuple of slice
        One slice with bounds for each axis of the data.
    """
    if not layer.visible:
        return  # napari slices it anew when it is shown
    node = _node(viewer, layer)
    if node is None or not _can_patch(layer, node):
        layer.refresh(extent=False, thumbnail=False, highlight=False)
        return
    displayed = layer._slice_input.displayed
    view = layer._slice.image.view
    parts = [tuple(box[axis] for axis in displayed) for box in boxes]
    is_most = sum(np.prod(box_shape(part)) for part in parts) > view.size / 2
    if is_most or node._need_texture_upload:
        layer.refresh(extent=False, thumbnail=False, highlight=False)
        return
    for part in parts:
        piece = np.ascontiguousarray(view[part])
        offset = [s.start for s in part]
        node._texture.scale_and_set_data(piece, copy=False, offset=offset)
    node.update()


def _node(viewer: ViewerModel, layer: Image) -> Any:
    """Return what draws the layer, None without a window."""
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    visual = getattr(canvas, "layer_to_visual", {}).get(layer)
    return getattr(visual, "node", None)


def _can_patch(layer: Image, node: Any) -> bool:
    """Whether the plane on the screen is one texture of the layer's own memory."""
    if not layer.loaded or layer._slice.empty or layer._slice_input.ndisplay != 2:
        return False
    view = layer._slice.image.view
    texture = getattr(node, "_texture", None)
    return (
        texture is not None
        and hasattr(node, "_need_texture_upload")
        and tuple(texture.shape[:2]) == tuple(view.shape)
        and _is_of(view, layer.data)
    )


def _is_of(view: np.ndarray, data: Any) -> bool:
    """Whether an array is a view of a layer's data."""
    if isinstance(data, PlaneStore):
        return data.holds(view)
    return bool(np.may_share_memory(view, data))
