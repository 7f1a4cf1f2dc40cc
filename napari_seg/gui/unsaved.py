"""Which labels were corrected since they were last saved anywhere.

All use of napari's internals for it is in this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.gui.autosave.follower import can_follow
from napari_seg.gui.layer_watch import LayerWatch
from napari_seg.gui.own_layers import is_labels
from napari_seg.gui.weights.changes import LabelsWatch


class UnsavedEdits:
    """Counts the corrections of each labels layer, until it is saved.

    Parameters
    ----------
    viewer : ViewerModel
        All its labels are followed. Saving them with napari counts as saving.
    on_removed : callable
        Takes a layer that was removed with corrections that were not saved, and how
        many they are.
    """

    def __init__(
        self, viewer: ViewerModel, on_removed: Callable[[Labels, int], None]
    ) -> None:
        self._on_removed = on_removed
        self._counts: dict[Labels, int] = {}
        self._being_saved: dict[Labels, int] = {}
        self._watches: dict[Labels, LabelsWatch] = {}
        self._layers = viewer.layers
        self._watch = LayerWatch(viewer, is_labels)
        self._watch.changed.connect(self._follow)
        self._follow_saving()
        self._follow()

    def close(self) -> None:
        """Let go of the viewer."""
        self._watch.changed.disconnect(self._follow)
        self._watch.close()
        vars(self._layers).pop("save", None)
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()

    def unsaved(self) -> dict[Labels, int]:
        """Return the layers with corrections that were not saved, and their number."""
        return {layer: count for layer, count in self._counts.items() if count}

    def mark_saved(self, layers: Iterable[Any]) -> None:
        """Take in that layers are on disk."""
        for layer in layers:
            if layer in self._counts:
                self._counts[layer] = 0
                self._being_saved.pop(layer, None)

    def begin_saving(self, layers: Iterable[Any]) -> None:
        """Take in that layers are going to be on disk as they are now."""
        for layer in layers:
            if layer in self._counts:
                self._being_saved[layer] = self._counts[layer]

    def end_saving(self, layers: Iterable[Any]) -> None:
        """Take in that they are; what was corrected meanwhile is not."""
        for layer in layers:
            count = self._being_saved.pop(layer, 0)
            if layer in self._counts:
                self._counts[layer] -= count

    def _follow(self) -> None:
        found = self._watch.layers()
        for layer in [x for x in self._watches if x not in found]:
            self._watches.pop(layer).close()
            count = self._counts.pop(layer)
            self._being_saved.pop(layer, None)
            if count:
                self._on_removed(layer, count)
        for layer in [x for x in found if x not in self._watches]:
            self._counts[layer] = 0
            self._watches[layer] = LabelsWatch(
                layer,
                on_box=lambda _: None,
                on_step=partial(self._on_step, layer),
                on_doubt=lambda: None,
            )

    def _on_step(self, layer: Labels, boxes: object) -> None:
        if not can_follow(layer):
            return  # it is on disk already
        self._counts[layer] = self._counts.get(layer, 0) + 1

    def _follow_saving(self) -> None:
        """Notice when napari saves layers: it does not tell anybody."""
        layers, original = self._layers, self._layers.save

        def save(path: str, *, selected: bool = False, **kwargs: Any) -> Any:
            saved = original(path, selected=selected, **kwargs)
            if saved:
                self.mark_saved(layers.selection if selected else layers)
            return saved

        vars(layers)["save"] = save
