"""The image layer of weights that lies on a labels layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_seg.gui.own_layers import OWN_KEY
from napari_seg.gui.view import shown_point
from napari_seg.gui.weights.grid import Grid
from napari_seg.gui.weights.screen import repaint_boxes
from napari_seg.imaging.live_weights import EAGER_PIXELS
from napari_seg.imaging.plane_store import PlaneStore
from napari_seg.imaging.slabs import Box

COLORMAP = "inferno"
"""Black where nothing stands out: added to what is below, that is transparent."""

_AT_ONCE = 8
"""Pieces that go to the screen with one repaint; a tile takes a millisecond."""

_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


class WeightOverlay:
    """Adds a layer above the labels; pieces are written into it as they come.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer.
    grid : Grid
        The labels that are weighed.
    limits : tuple of float
        Weights shown black and brightest.
    """

    def __init__(
        self, viewer: ViewerModel, grid: Grid, limits: tuple[float, float]
    ) -> None:
        self._viewer = viewer
        self._grid = grid
        self.weights = _room(grid)
        self._unseen: list[Box] = []
        self._name = ""
        self.layer = self._add(limits)
        labels = grid.layer
        self._events = [getattr(labels.events, name) for name in _PLACE]
        for event in self._events:
            event.connect(self._follow)
        labels.events.name.connect(self._follow_name)

    def close(self) -> None:
        """Remove the layer, if it is still there."""
        for event in self._events:
            event.disconnect(self._follow)
        self._grid.layer.events.name.disconnect(self._follow_name)
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)

    def look_at(self, box: Box) -> bool:
        """Say what is seen; return whether its weights were given up before."""
        return isinstance(self.weights, PlaneStore) and self.weights.look_at(box)

    def write(self, box: Box, weights: NDArray[np.float32]) -> bool:
        """Take the weights of a box; return whether `repaint` has something to do."""
        if np.array_equal(self.weights[box], weights):
            return False
        self.weights[box] = weights
        parts = list(box)
        repeated = self._grid.repeated
        point = np.round(shown_point(self._viewer, self.layer))
        if repeated is not None:
            channel = int(
                np.clip(point[repeated], 0, self.layer.data.shape[repeated] - 1)
            )
            parts.insert(repeated, slice(channel, channel + 1))
        hidden = self.layer._slice_input.not_displayed
        if any(not parts[a].start <= point[a] < parts[a].stop for a in hidden):
            return False
        self._unseen.append(tuple(parts))
        return True

    def repaint(self) -> bool:
        """Bring what was written to the screen; return whether some of it waits."""
        boxes, self._unseen = self._unseen[:_AT_ONCE], self._unseen[_AT_ONCE:]
        if boxes:
            repaint_boxes(self._viewer, self.layer, boxes)
        return bool(self._unseen)

    def repaint_thumbnail(self) -> None:
        """Bring the picture in the layer list up to date."""
        if self.layer.visible:
            self.layer._update_thumbnail()

    def set_limits(self, low: float, high: float) -> None:
        """Show other weights black and brightest."""
        self.layer.contrast_limits_range = (0.0, max(high, 1.0) * 4)
        self.layer.contrast_limits = (low, high)

    def _add(self, limits: tuple[float, float]) -> Image:
        labels, selection = self._grid.layer, self._viewer.layers.selection
        active, selected = selection.active, set(selection)
        self._name = _name_for(labels.name)
        data: Any = self.weights
        if self._grid.repeated is not None:
            data = np.expand_dims(data, self._grid.repeated)
            data = np.broadcast_to(data, labels.data.shape)
        layer = Image(
            data,
            name=self._name,
            colormap=COLORMAP,
            blending="additive",
            contrast_limits=limits,
            metadata={OWN_KEY: "border weights"},
            **{name: getattr(labels, name) for name in _PLACE},
        )
        layer.contrast_limits_range = (0.0, max(limits[1], 1.0) * 4)
        self._viewer.layers.insert(self._viewer.layers.index(labels) + 1, layer)
        # napari selects what is new, but the user goes on with what she had.
        selection.active = active
        selection.update(selected)
        return layer

    def _follow(self, event: Any = None) -> None:
        for name in _PLACE:
            setattr(self.layer, name, getattr(self._grid.layer, name))

    def _follow_name(self, event: Any = None) -> None:
        """Take the new name of the labels, unless the user has named the overlay."""
        if self.layer.name == self._name:
            self._name = self.layer.name = _name_for(self._grid.layer.name)


def _room(grid: Grid) -> NDArray[np.float32] | PlaneStore:
    """Return room for weights; of large labels only for the planes looked at."""
    if math.prod(grid.shape) > EAGER_PIXELS and grid.repeated is None:
        return PlaneStore(grid.shape, [grid.axes.index(a) for a in "YX"])
    # Pages of memory come with the first weights in them.
    return np.zeros(grid.shape, np.float32)


def _name_for(labels_name: str) -> str:
    return f"{labels_name} border weights"
