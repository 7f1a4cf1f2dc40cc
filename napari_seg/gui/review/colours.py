"""Labels coloured by whether anybody has looked at them. No Qt."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_seg.gui.jobs import JobGenerator
from napari_seg.gui.review.rows import RowState

COLOURS: Mapping[RowState, str] = {
    RowState.PROPOSED: "#6f9bff",
    RowState.CHANGED: "#f2b544",
    RowState.VERIFIED: "#6fcf7c",
}
"""Those of the table and of the list of images."""
SHADES = (1.0, 0.72, 0.86, 0.6)
"""Brightness of ids that follow each other, so that touching objects stay apart."""


def state_colormap(states: Mapping[int, RowState]) -> DirectLabelColormap:
    """Return colours by state, in a few shades.

    Parameters
    ----------
    states : mapping of int to RowState
        By id. Others, drawn since, look like changed ones.
    """
    own = {state: _rgba(COLOURS[state]) for state in RowState}
    colours = {
        None: _shaded(own[RowState.CHANGED], 1.0),
        0: np.zeros(4, np.float32),
    }
    for number, state in states.items():
        colours[number] = _shaded(own[state], SHADES[number % len(SHADES)])
    return DirectLabelColormap(color_dict=colours)


@dataclass(frozen=True, eq=False)
class Colouring:
    """Colours, and the states that they show."""

    states: Mapping[int, RowState]
    colormap: DirectLabelColormap


def iter_coloured(
    steps: JobGenerator, *, is_on: bool, before: Colouring | None
) -> JobGenerator:
    """Look the rows of the table up, and make their colours if they are wanted.

    Returns
    -------
    rows : list of TableRow
    colours : Colouring or None
        None without an object, or if they are not wanted; `before` if no state is
        another one.
    """
    rows = yield from steps
    states = {row.ranked.object_id: row.state for row in rows if not row.is_plane}
    if not (is_on and states):
        return rows, None
    if before is not None and before.states == states:
        return rows, before
    return rows, Colouring(states, state_colormap(states))


def _rgba(text: str) -> np.ndarray:
    parts = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return np.array([*parts, 1.0], np.float32)


def _shaded(colour: np.ndarray, shade: float) -> np.ndarray:
    return np.array([*(colour[:3] * shade), 1.0], np.float32)


class StateColours:
    """Colours one labels layer by state, and gives its own colours back."""

    def __init__(self) -> None:
        self.shown: Colouring | None = None
        self._layer: weakref.ref[Labels] | None = None
        self._before: object = None

    def show(self, layer: Labels, colours: Colouring) -> None:
        """Colour a layer, and let go of another one.

        Of thousands of objects `state_colormap` takes long: not in the main thread.
        napari draws all labels anew for it, so not without need.
        """
        if self._shown() is not layer:
            self.hide()
            self._layer, self._before = weakref.ref(layer), layer.colormap
        if self.shown is not colours:
            self.shown = colours
            layer.colormap = colours.colormap

    def hide(self) -> None:
        """Give the layer its colours back, unless the user chose others meanwhile."""
        layer = self._shown()
        if layer is not None and isinstance(layer.colormap, DirectLabelColormap):
            layer.colormap = self._before
        self.shown = self._layer = self._before = None

    def _shown(self) -> Labels | None:
        return None if self._layer is None else self._layer()
