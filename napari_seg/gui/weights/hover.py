"""The weight under the pointer, in napari's status bar."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image


class HoverWeight:
    """Adds the weight to what napari tells of the selected layer.

    napari tells of that layer alone, and while labels are painted it is the labels.

    Parameters
    ----------
    viewer : ViewerModel
        Its status is added to.
    layer : Image
        The overlay.
    """

    def __init__(self, viewer: ViewerModel, layer: Image) -> None:
        self._viewer = viewer
        self._layer = layer
        # Last: the window must hear of the longer text after the shorter.
        viewer.events.status.connect(self._on_status, position="last")

    def close(self) -> None:
        """Let go of the viewer."""
        self._viewer.events.status.disconnect(self._on_status)

    def text(self) -> str:
        """Return the weight under the pointer, empty if it is not over the overlay."""
        if not self._layer.visible or self._viewer.dims.ndisplay != 2:
            return ""
        value = self._layer.get_value(
            self._viewer.cursor.position,
            view_direction=self._viewer.cursor._view_direction,
            dims_displayed=list(self._viewer.dims.displayed),
            world=True,
        )
        # 0: not computed yet. Weights are positive.
        return f"weight {value:.2f}" if value else ""

    def _on_status(self, event: Any = None) -> None:
        status, selection = self._viewer.status, self._viewer.layers.selection
        if not isinstance(status, dict) or self._layer in selection:
            return  # napari tells it itself
        told = status.get("value", "")
        text = self.text()
        if not text or "weight " in told:
            return
        # The status bar shows the coordinates, which the value is the end of.
        longer = {
            key: f"{status.get(key, '')}, {text}".removeprefix(", ")
            for key in ("value", "coordinates")
        }
        # Setting it comes back here once, and ends there.
        self._viewer.status = status | longer
