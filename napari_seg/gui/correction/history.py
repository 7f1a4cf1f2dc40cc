"""Edits in napari's own undo history, so that one Ctrl+Z takes back one gesture.

`Labels.data_setitem`, the public way in, stores 32 bytes for each changed voxel of
a volume: 13 MB for one object, and a hundred of them stay. Where napari lets it,
the edit itself, compressed a thousandfold, goes into the history. All use of
napari's internals for it is in this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_seg.gui.correction.target import Target
from napari_seg.gui.repaint import repaint, replay
from napari_seg.gui.weights.changes import atom_box
from napari_seg.imaging.deltas import Box, LabelEdit

try:
    from napari.layers.labels.labels import _MaskedPaintAtom
except ImportError:  # before napari 0.9
    _MaskedPaintAtom = None


class LayerHistory:
    """Writes edits into a labels layer and its undo history.

    Parameters
    ----------
    target : Target
        The layer and how the edits' grid lies in it.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def apply(self, edit: LabelEdit) -> None:
        """Write an edit as one step, and bring it to the screen."""
        layer = self._target.layer
        if _MaskedPaintAtom is None:
            layer.data_setitem(self._indices(edit), edit.after)
            return
        edit.apply(self._target.labels)
        layer._save_history(_packed(edit, self._target.repeated))
        repaint(layer, self._target.to_layer(edit.box))

    def group(self) -> AbstractContextManager[None]:
        """Return a context in which all edits together are one step."""
        return self._target.layer.block_history()

    def undo(self) -> None:
        """Take the last step back, whoever made it."""
        layer = self._target.layer
        replay(layer, layer.undo, _boxes(layer, getattr(layer, "_undo_history", ())))

    def redo(self) -> None:
        """Repeat the step taken back last."""
        layer = self._target.layer
        replay(layer, layer.redo, _boxes(layer, getattr(layer, "_redo_history", ())))

    def _indices(self, edit: LabelEdit) -> tuple[np.ndarray, ...]:
        indices = list(edit.indices)
        if self._target.repeated is not None:
            indices.insert(self._target.repeated, np.zeros_like(indices[0]))
        return tuple(indices)


def _boxes(layer: Labels, steps: Sequence[Any]) -> list[Box | None]:
    """Return where the last of some steps has changed a layer's data."""
    if not steps:
        return [None]
    return [atom_box(atom, layer.data.shape) for atom in steps[-1]]


def can_undo(layer: Labels) -> bool:
    """Whether there is a step to take back."""
    return bool(getattr(layer, "_undo_history", True))


def steps_done(layer: Labels) -> int:
    """Return how many steps there are to take back; old ones are forgotten."""
    return len(getattr(layer, "_undo_history", ()))


def can_redo(layer: Labels) -> bool:
    """Whether there is a step to repeat."""
    return bool(getattr(layer, "_redo_history", True))


def _packed(edit: LabelEdit, repeated: int | None) -> Any:
    """Return an edit as an entry of napari's history."""

    class PackedAtom(_MaskedPaintAtom):
        """A painted mask that is unpacked when it is replayed."""

        __slots__ = ()

        @property
        def mask(self) -> np.ndarray:
            mask = edit.mask
            return mask if repeated is None else np.expand_dims(mask, repeated)

        @property
        def old_values(self) -> np.ndarray:
            return edit.before

        @property
        def new_value(self) -> np.ndarray:
            return edit.after

    box = list(edit.box)
    if repeated is not None:
        # All repeats share their memory: written once, changed everywhere.
        box.insert(repeated, slice(0, 1))
    return PackedAtom(tuple(box), None, np.empty(0, edit.dtype), 0)
