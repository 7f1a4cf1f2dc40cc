"""The button that calls the plane on screen correct."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.errors import NapariSegError
from napari_seg.gui.correction.target import repeated_axis
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.training.data import TrainingData
from napari_seg.gui.training.marks import Plane, correct_planes, toggle_plane
from napari_seg.gui.training.settings import Counts
from napari_seg.gui.view import shown_point

_NAME = 12
"""Letters of a layer's name that there is room for."""
_SHOW_S = 0.1
"""Dragging a slider must not lay out the dock at every plane."""


class PlaneMarker:
    """Marks planes of the labels layer that is selected, or of the first one.

    Parameters
    ----------
    viewer : ViewerModel
        Tells which plane is shown.
    panel : TrainPanel
        Or anything with its signal and setter.
    data : TrainingData
        Knows the layers and their axes.
    jobs : Jobs
        For what need not be at once.
    """

    def __init__(
        self, viewer: ViewerModel, panel: Any, data: TrainingData, jobs: Jobs
    ) -> None:
        self._viewer = viewer
        self._panel = panel
        self._data = data
        self._jobs = jobs
        self.is_seen = False
        panel.mark_plane_requested.connect(self.toggle)
        viewer.dims.events.current_step.connect(self.show_soon)
        viewer.layers.selection.events.active.connect(self.show_soon)

    def close(self) -> None:
        """Let go of the viewer."""
        self._viewer.dims.events.current_step.disconnect(self.show_soon)
        self._viewer.layers.selection.events.active.disconnect(self.show_soon)

    def toggle(self) -> None:
        """Mark the plane that is shown, or take its mark back."""
        found = self._here()
        if found is None:
            return
        layer, plane, _ = found
        if toggle_plane(layer, plane):
            self._data.choose(layer.name, True, Counts.PLANES)
        self._data.recount()
        self.show()

    def show_soon(self) -> None:
        """Show it in a moment, unless nobody looks."""
        if self.is_seen:
            self._jobs.later("plane", _SHOW_S, self.show)

    def show(self) -> None:
        """Show whether the plane on screen is marked."""
        found = self._here()
        if found is None:
            self._panel.set_plane("", False)
            return
        layer, plane, letters = found
        marked = correct_planes(layer)
        names = [f"{a.lower()} {i}" for a, i in zip(letters, plane, strict=True)]
        name = layer.name if len(layer.name) <= _NAME else f"{layer.name[:_NAME]}…"
        text = f"{', '.join(names)} of {name} is correct"
        self._panel.set_plane(f"{text} ({len(marked)} marked)", plane in marked)

    def _here(self) -> tuple[Labels, Plane, str] | None:
        active = self._viewer.layers.selection.active
        used = {row.key for row in self._data.used()}
        layers = [x for x in self._data.labels() if x is active or x.name in used]
        for layer in sorted(layers, key=lambda layer: layer is not active):
            try:
                pair = self._data.pair(layer)
            except NapariSegError:
                continue
            if pair.plane_axes:
                point = np.round(shown_point(self._viewer, layer)).astype(int)
                repeated = repeated_axis(layer)
                if repeated is not None:
                    point = np.delete(point, repeated)
                last = np.asarray(pair.labels.shape) - 1
                point = np.clip(point, 0, last)
                grid = pair.axes.replace("C", "")
                letters = "".join(grid[axis] for axis in pair.plane_axes)
                return layer, tuple(int(point[a]) for a in pair.plane_axes), letters
        return None
