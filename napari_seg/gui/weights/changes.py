"""Tell where a labels layer has changed, whoever changed it.

All use of napari's internals for it is in this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_seg.imaging.slabs import Box


class LabelsWatch:
    """Follows a labels layer.

    Parameters
    ----------
    layer : Labels
        The layer.
    on_box : callable
        Takes a box of the layer's data in which labels may have changed.
    on_step : callable
        Takes the boxes of a step of its history. napari tells of a step before its
        last pixels are written.
    on_doubt : callable
        Called when the layer was drawn anew and nobody can tell why: it may be the
        slider of the viewer, or a script that wrote into the data.
    """

    def __init__(
        self,
        layer: Labels,
        on_box: Callable[[Box], None],
        on_step: Callable[[list[Box]], None],
        on_doubt: Callable[[], None],
    ) -> None:
        self._layer = layer
        self._on_box = on_box
        self._on_step = on_step
        self._on_doubt = on_doubt
        self._remember()
        layer.events.paint.connect(self._on_paint)
        layer.events.labels_update.connect(self._on_update)
        layer.events.set_data.connect(self._on_set_data)

    def close(self) -> None:
        """Let go of the layer."""
        self._layer.events.paint.disconnect(self._on_paint)
        self._layer.events.labels_update.disconnect(self._on_update)
        self._layer.events.set_data.disconnect(self._on_set_data)

    def _on_paint(self, event: Any) -> None:
        """Take the atoms of a step that is complete."""
        self._remember()
        self._tell(event.value)

    def _on_update(self, event: Any) -> None:
        """Take a piece that was sent to the screen: a dab of a stroke, or a tile."""
        layer = self._layer
        point = np.round(layer.world_to_data(layer._slice_input.world_slice.point))
        box = [slice(int(i), int(i) + 1) for i in point]
        sides = event.data.shape
        for axis, start, side in zip(
            layer._slice_input.displayed, event.offset, sides, strict=False
        ):
            box[axis] = slice(int(start), int(start) + int(side))
        self._on_box(tuple(box))

    def _on_set_data(self) -> None:
        """Find steps taken back or repeated, which napari has no event for."""
        done, undone = self._histories()
        grown = len(undone) - self._undone
        last = done[-1] if done else None
        is_redone = grown < 0 and last is not None and last is not self._last
        self._remember()
        if grown > 0:
            for item in list(undone)[-grown:]:
                self._tell(item)
        elif is_redone:
            for item in list(done)[grown:]:
                self._tell(item)
        else:
            self._on_doubt()

    def _tell(self, item: Sequence[Any]) -> None:
        shape = self._layer.data.shape
        boxes = [atom_box(atom, shape) for atom in item]
        self._on_step([box for box in boxes if box is not None])

    def _histories(self) -> tuple[Sequence[Any], Sequence[Any]]:
        layer = self._layer
        return getattr(layer, "_undo_history", ()), getattr(layer, "_redo_history", ())

    def _remember(self) -> None:
        done, undone = self._histories()
        self._last = done[-1] if done else None
        self._undone = len(undone)


def atom_box(atom: Any, shape: Sequence[int]) -> Box | None:
    """Return the box of one entry of napari's history, None if it is empty.

    Parameters
    ----------
    atom : object
        With a `slice_key`, or the older triple of indices, values before and after.
    shape : sequence of int
        Of the layer's data.
    """
    key = getattr(atom, "slice_key", None)
    if key is not None:
        return tuple(
            slice(*part.indices(int(size))[:2])
            for part, size in zip(key, shape, strict=False)
        )
    parts: list[slice] = []
    for index in atom[0]:
        if isinstance(index, slice):
            parts.append(slice(*index.indices(int(shape[len(parts)]))[:2]))
            continue
        places = np.asarray(index)
        if not places.size:
            return None
        parts.append(slice(int(places.min()), int(places.max()) + 1))
    parts += [slice(0, int(size)) for size in shape[len(parts) :]]
    return tuple(parts)
