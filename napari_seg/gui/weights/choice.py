"""Which labels are weighed."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal

from napari_seg.gui.correction.sheet import is_sheet


class LabelsLayers:
    """Follows the labels layers of a viewer, and knows which one is chosen.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    """

    changed = Signal()
    """Layers came, went or were renamed, or another one is chosen."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Labels | None = None
        self._watched: list[Labels] = []
        events = viewer.layers.events
        self._events = (events.inserted, events.removed, events.reordered)
        for event in self._events:
            event.connect(self._update)
        self._update()

    def close(self) -> None:
        """Let go of the viewer."""
        for event in self._events:
            event.disconnect(self._update)
        for layer in self._watched:
            layer.events.name.disconnect(self._tell)

    def all(self) -> list[Labels]:
        """Return the labels layers, the topmost first."""
        layers = reversed(self._viewer.layers)
        return [x for x in layers if isinstance(x, Labels) and not is_sheet(x)]

    def choose(self, name: str) -> None:
        """Choose a labels layer by its name; unknown names change nothing."""
        for layer in self.all():
            if layer.name == name and layer is not self.layer:
                self.layer = layer
                self.changed.emit()
                return

    def _update(self) -> None:
        found = self.all()
        for layer in [x for x in self._watched if x not in found]:
            layer.events.name.disconnect(self._tell)
        for layer in [x for x in found if x not in self._watched]:
            layer.events.name.connect(self._tell)
        self._watched = found
        if self.layer not in found:
            self.layer = found[0] if found else None
        self.changed.emit()

    def _tell(self) -> None:
        self.changed.emit()
