"""Which labels are weighed."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal

from napari_seg.gui.layer_watch import LayerWatch
from napari_seg.gui.own_layers import is_labels


class LabelsLayers:
    """Follows the labels layers of a viewer, and knows which one is chosen.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    """

    changed = Signal()
    """Layers came, went or were changed, or another one is chosen."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.layer: Labels | None = None
        self._watch = LayerWatch(viewer, is_labels)
        self._watch.changed.connect(self._on_layers)
        self._on_layers()

    def close(self) -> None:
        """Let go of the viewer."""
        self._watch.close()

    def all(self) -> list[Labels]:
        """Return the labels layers, the topmost first."""
        return self._watch.layers()

    def choose(self, name: str) -> None:
        """Choose a labels layer by its name; unknown names change nothing."""
        for layer in self.all():
            if layer.name == name and layer is not self.layer:
                self.layer = layer
                self.changed.emit()
                return

    def _on_layers(self) -> None:
        found = self.all()
        if self.layer not in found:
            self.layer = found[0] if found else None
        self.changed.emit()
