"""Objects the user has called correct: kept with the layer, and shown on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Points
from scipy import ndimage

from napari_seg.gui.layers import METADATA_KEY
from napari_seg.imaging.deltas import Box

LOCKED_KEY = "locked"
"""Where the ids are, in the layer's own metadata: the export reads them there."""

MARKS_KEY = "napari_seg_marks"
"""Tells our layer of marks from the user's points."""


class Locks:
    """The locked ids of one labels layer.

    Parameters
    ----------
    viewer : ViewerModel
        Gets a layer of marks with the first lock.
    layer : Labels
        Whose objects are locked.
    """

    def __init__(self, viewer: ViewerModel, layer: Labels) -> None:
        self._viewer = viewer
        self._layer = layer
        own = layer.metadata.setdefault(METADATA_KEY, {})
        self.ids: set[int] = set(own.get(LOCKED_KEY, ()))
        self._marks: Points | None = None

    def toggle(self, object_id: int, where: Sequence[Sequence[int]]) -> bool:
        """Lock an object or unlock it; return whether it is locked now.

        Parameters
        ----------
        object_id : int
            The object.
        where : sequence of pixels of the layer
            Where its marks go: one for each plane it is on.
        """
        is_locked = object_id not in self.ids
        if is_locked:
            self.ids.add(object_id)
            self._mark(object_id, where)
        else:
            self.ids.discard(object_id)
            self._unmark(object_id)
        self._layer.metadata[METADATA_KEY][LOCKED_KEY] = sorted(self.ids)
        return is_locked

    def _mark(self, object_id: int, where: Sequence[Sequence[int]]) -> None:
        if not len(where):
            return
        if self._marks is None or self._marks not in self._viewer.layers:
            self._marks = self._new_marks()
        marks = self._marks
        ids = [*marks.metadata[MARKS_KEY], *[object_id] * len(where)]
        places = np.concatenate([marks.data, np.asarray(where, float)])
        self._show(places, ids)

    def _unmark(self, object_id: int) -> None:
        marks = self._marks
        if marks is None or marks not in self._viewer.layers:
            return
        ids = np.asarray(marks.metadata[MARKS_KEY])
        stays = ids != object_id
        self._show(marks.data[stays], ids[stays].tolist())

    def _show(self, places: np.ndarray, ids: Sequence[int]) -> None:
        assert self._marks is not None
        self._marks.metadata[MARKS_KEY] = list(ids)
        self._marks.data = places
        self._marks.selected_data = set()

    def _new_marks(self) -> Points:
        layer = self._layer
        selection = self._viewer.layers.selection
        active = selection.active
        marks = Points(
            np.empty((0, layer.ndim)),
            ndim=layer.ndim,
            name=f"{layer.name} correct",
            symbol="disc",
            size=1,
            face_color="#ffffff00",
            border_color="#ffffff00",
            text={"string": {"constant": "✓"}, "color": "white", "size": 14},
            scale=layer.scale,
            translate=layer.translate,
            rotate=layer.rotate,
            shear=layer.shear,
            affine=layer.affine,
            units=layer.units,
            axis_labels=layer.axis_labels,
            metadata={MARKS_KEY: []},
        )
        self._viewer.add_layer(marks)
        selection.active = active
        return marks


def middles(mask: np.ndarray, box: Box, planes: int | None) -> list[tuple[int, ...]]:
    """Return the pixel deepest inside a mask, of each of its planes.

    Parameters
    ----------
    mask : ndarray of bool, shape of the box
        The object.
    box : tuple of slice
        Where the mask lies.
    planes : int or None
        Axis whose planes get a mark each; None for one mark.
    """
    found = []
    count = mask.shape[planes] if planes is not None else 1
    for i in range(count):
        part = mask if planes is None else mask.take([i], planes)
        if not part.any():
            continue
        depth = ndimage.distance_transform_edt(np.pad(np.squeeze(part), 1))
        inner = depth[(slice(1, -1),) * depth.ndim].reshape(part.shape)
        place = [int(i) for i in np.unravel_index(int(inner.argmax()), part.shape)]
        if planes is not None:
            place[planes] = i
        found.append(tuple(int(p) + s.start for p, s in zip(place, box, strict=True)))
    return found
