"""Show a changed piece of a labels layer without slicing the layer again.

`Labels.refresh` maps and uploads the whole plane: 50 ms for 2048 x 2048 pixels,
too long for the main thread ten times a second. napari's own brush repaints only
what it touched; this does the same for pieces that did not come from a brush. All
use of napari's internals for it is in this module.
"""

from __future__ import annotations

import numpy as np
from napari.layers import Labels


def repaint(layer: Labels, box: tuple[slice, ...]) -> None:
    """Bring one box of the layer's data to the screen.

    Parameters
    ----------
    layer : Labels
        Its data were changed inside the box.
    box : tuple of slice
        One slice with bounds per axis of the data.
    """
    if not layer.visible:
        return  # napari slices it anew when it is shown
    if not _can_patch(layer):
        layer.refresh(extent=False, thumbnail=False, highlight=False)
        return
    point = np.round(layer.world_to_data(layer._slice_input.world_slice.point))
    hidden = layer._slice_input.not_displayed
    if any(not box[i].start <= point[i] < box[i].stop for i in hidden):
        return
    shown = tuple(box[i] for i in layer._slice_input.displayed)
    image = layer._slice.image
    texture = layer._raw_to_displayed(image.raw, data_slice=shown)
    image.view[shown] = texture
    layer.events.labels_update(data=texture, offset=[part.start for part in shown])


def swap_data(layer: Labels, data: np.ndarray, translate: np.ndarray) -> None:
    """Give a layer that is nobody's own other data at another place, in one go.

    Through its two public setters napari slices and uploads it twice, draws its
    picture for the layer list twice, and goes through the extents of all layers.

    Parameters
    ----------
    layer : Labels
        Lies on another layer, so that the extent of the viewer does not change.
    data : ndarray
        Of the same dtype and number of axes.
    translate : ndarray
        Where it lies now.
    """
    editable = layer.editable
    with layer.events.blocker_all(), layer._block_refresh():
        layer.data = data
        layer.translate = translate
        # napari takes new data for somebody's.
        layer.editable = editable
    layer.refresh(extent=False, thumbnail=False, highlight=False)


def repaint_thumbnail(layer: Labels) -> None:
    """Bring the picture in the layer list up to date."""
    if layer.visible:
        layer._update_thumbnail()


def _can_patch(layer: Labels) -> bool:
    """Whether what is on the screen is a view of the layer's data."""
    return bool(
        layer.loaded
        and not layer._slice.empty
        and isinstance(layer.data, np.ndarray)
        and np.may_share_memory(layer._slice.image.raw, layer.data)
    )
