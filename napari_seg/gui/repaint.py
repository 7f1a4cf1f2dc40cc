"""Show a changed piece of a labels layer without slicing the layer again.

`Labels.refresh` maps and uploads the whole plane: 50 ms for 2048 x 2048 pixels,
too long for the main thread ten times a second. napari's own brush repaints only
what it touched; this does the same for pieces that did not come from a brush. All
use of napari's internals for it is in this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    shown = _renew(layer, box)
    if shown is not None:
        texture = layer._slice.image.view[shown]
        layer.events.labels_update(data=texture, offset=[part.start for part in shown])


def replay(
    layer: Labels, act: Callable[[], None], boxes: Sequence[tuple[slice, ...] | None]
) -> None:
    """Let a layer take a step back or repeat it, without slicing it again.

    Parameters
    ----------
    layer : Labels
    act : callable
        Its `undo` or `redo`.
    boxes : sequence of tuple of slice
        Where that changes its data; None where nothing is known.
    """
    known = [box for box in boxes if box is not None]
    if len(known) < len(boxes) or not layer.visible or not _can_patch(layer):
        act()
        return
    with layer._block_refresh():
        act()
    for box in known:
        _renew(layer, box)
    # As a refresh does: who follows the layer asks then what has changed.
    layer.events.set_data()


def _renew(layer: Labels, box: tuple[slice, ...]) -> tuple[slice, ...] | None:
    """Bring a box up to date in what is held for the screen; return where it is."""
    if any(part.start >= part.stop for part in box):
        return None
    point = np.round(layer.world_to_data(layer._slice_input.world_slice.point))
    hidden = layer._slice_input.not_displayed
    if any(not box[i].start <= point[i] < box[i].stop for i in hidden):
        return None
    shown = tuple(box[i] for i in layer._slice_input.displayed)
    image = layer._slice.image
    if not isinstance(layer.data, np.ndarray):
        image.raw[shown] = _read(layer, box, point)
    image.view[shown] = layer._raw_to_displayed(image.raw, data_slice=shown)
    return shown


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


def select_label(layer: Labels, object_id: int) -> None:
    """Choose the id that napari's brush paints with; it must fit the layer's dtype.

    To learn the dtype napari reads the first plane, which of labels on disk takes as
    long as a repaint.
    """
    if isinstance(layer.data, np.ndarray):
        layer.selected_label = object_id
        return
    vars(layer)["_validate_label_in_range"] = lambda _: None
    try:
        layer.selected_label = object_id
    finally:
        del vars(layer)["_validate_label_in_range"]


def repaint_thumbnail(layer: Labels) -> None:
    """Bring the picture in the layer list up to date."""
    if layer.visible:
        layer._update_thumbnail()


def _can_patch(layer: Labels) -> bool:
    """Whether what is on the screen is a view of the layer's data, or a copy."""
    if not layer.loaded or layer._slice.empty or layer.multiscale:
        return False
    raw, shape = layer._slice.image.raw, layer.data.shape
    if isinstance(layer.data, np.ndarray):
        return bool(np.may_share_memory(raw, layer.data))
    return bool(
        isinstance(raw, np.ndarray)
        and raw.flags.writeable
        and raw.shape == tuple(shape[i] for i in layer._slice_input.displayed)
    )


def _read(layer: Labels, box: tuple[slice, ...], point: np.ndarray) -> np.ndarray:
    """Return what a box of labels on disk holds of what is shown, as it is shown."""
    displayed = list(layer._slice_input.displayed)
    index = tuple(
        part if axis in displayed else int(point[axis]) for axis, part in enumerate(box)
    )
    piece = np.asarray(layer.data[index])
    return piece.transpose([sorted(displayed).index(axis) for axis in displayed])
