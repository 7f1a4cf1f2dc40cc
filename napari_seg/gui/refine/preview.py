"""Refined labels in a layer of their own, in place of those that are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.gui.own_layers import OWN_KEY


class Preview:
    """Shows what labels would be; the layer itself is hidden meanwhile.

    Nothing is written into the user's labels.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer of the preview.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None
        self._target: Labels | None = None
        self._is_before = False

    @property
    def is_shown(self) -> bool:
        """Whether refined labels are there to be seen, or a key hides them."""
        return self._layer is not None and self._layer in self._viewer.layers

    @property
    def target(self) -> Labels | None:
        """The labels that are previewed."""
        return self._target if self.is_shown else None

    def show(self, target: Labels, data: np.ndarray, start: tuple[int, ...]) -> None:
        """Show labels in the place of a piece of a layer.

        Parameters
        ----------
        target : Labels
            The layer.
        data : ndarray of int
            With as many axes as the layer.
        start : tuple of int
            First pixel of the piece in the layer.
        """
        corner = target._transforms["data2physical"](start)
        layer = self._layer
        is_same = self.is_shown and self._target is target
        if layer is not None and is_same and np.shape(layer.data) == data.shape:
            layer.data = data
            layer.translate = corner
            return
        self.clear()
        self._target, self._layer = target, self._add(target, data, corner)
        self.set_before(self._is_before)

    def _add(self, target: Labels, data: np.ndarray, corner: np.ndarray) -> Labels:
        selection = self._viewer.layers.selection
        active = selection.active
        layer = Labels(data, translate=corner, **_look(target))
        layer.metadata[OWN_KEY] = True
        layer.editable = False
        self._viewer.layers.insert(self._viewer.layers.index(target) + 1, layer)
        # The layer in hand stays in hand: its locks and its undo are meant.
        selection.active = active
        return layer

    def set_before(self, is_before: bool) -> None:
        """Show the labels as they are, or as they would be."""
        self._is_before = is_before
        if self.is_shown and self._target is not None and self._layer is not None:
            self._layer.visible = not is_before
            self._target.visible = is_before

    def clear(self) -> None:
        """Show the labels as they are, and forget the others."""
        layer, target = self._layer, self._target
        self._layer = self._target = None
        if layer is not None and target is not None:
            target.visible = True
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)


def _look(target: Labels) -> dict[str, Any]:
    """Return what makes another layer look like this one."""
    return {
        "name": f"{target.name} refined (preview)",
        "scale": target.scale,
        "rotate": target.rotate,
        "shear": target.shear,
        "affine": target.affine,
        "units": target.units,
        "axis_labels": target.axis_labels,
        "opacity": target.opacity,
        "colormap": target.colormap,
    }
