"""Layers of a viewer that somebody chooses from, followed as they come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeGuard, TypeVar

from napari.components import ViewerModel
from napari.layers import Layer
from psygnal import Signal

AnyLayer = TypeVar("AnyLayer", bound=Layer)


class LayerWatch(Generic[AnyLayer]):
    """Follows those layers of a viewer that are of interest.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    accepts : callable
        Tells whether a layer is of interest; always the same of one layer.
    """

    changed = Signal(object)
    """A layer moved, or got another name or other data; None if layers came or went."""

    def __init__(
        self, viewer: ViewerModel, accepts: Callable[[Layer], TypeGuard[AnyLayer]]
    ) -> None:
        self._viewer = viewer
        self._accepts = accepts
        self._watched: list[AnyLayer] = []
        for event in self._list_events():
            event.connect(self._update)
        self._update()

    def close(self) -> None:
        """Let go of the viewer and its layers."""
        for event in self._list_events():
            event.disconnect(self._update)
        for layer in self._watched:
            self._unwatch(layer)
        self._watched = []

    def layers(self) -> list[AnyLayer]:
        """Return the layers, the topmost first, as the layer list shows them."""
        return [x for x in reversed(self._viewer.layers) if self._accepts(x)]

    def _list_events(self) -> Sequence[Any]:
        events = self._viewer.layers.events
        return events.inserted, events.removed, events.reordered

    def _update(self) -> None:
        found = self.layers()
        if found == self._watched:
            return
        for layer in [x for x in self._watched if x not in found]:
            self._unwatch(layer)
        for layer in [x for x in found if x not in self._watched]:
            for event in _events_of(layer):
                event.connect(self._tell)
        self._watched = found
        self.changed.emit(None)

    def _unwatch(self, layer: AnyLayer) -> None:
        for event in _events_of(layer):
            event.disconnect(self._tell)

    def _tell(self, event: Any) -> None:
        self.changed.emit(event.source)


def _events_of(layer: Layer) -> Sequence[Any]:
    events = layer.events
    return events.name, events.data, events.scale, events.translate
