"""Undo and redo of label edits, within a budget of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from napari_seg.imaging.deltas import LabelEdit


class EditHistory(Protocol):
    """Writes edits into one labels array, and takes them back."""

    def apply(self, edit: LabelEdit) -> None:
        """Write an edit into the labels as one step."""

    def undo(self) -> LabelEdit | None:
        """Take the last step back; return the edit applied, or None."""

    def redo(self) -> LabelEdit | None:
        """Repeat the step taken back last; return the edit applied, or None."""


class History:
    """Steps that can be taken back and repeated.

    Parameters
    ----------
    labels : array of int
        Written by every step (NumPy, zarr).
    max_bytes : int, optional
        When the steps take more, the oldest are forgotten.
    """

    def __init__(self, labels: Any, max_bytes: int = 256 * 2**20) -> None:
        self.max_bytes = max_bytes
        self._labels = labels
        self._done: list[LabelEdit] = []
        self._undone: list[LabelEdit] = []

    def __len__(self) -> int:
        return len(self._done)

    @property
    def nbytes(self) -> int:
        """Memory of all steps."""
        return sum(edit.nbytes for edit in (*self._done, *self._undone))

    def apply(self, edit: LabelEdit) -> None:
        """Write an edit as one step; what was undone cannot be redone."""
        edit.apply(self._labels)
        self._undone.clear()
        self._done.append(edit)
        while self.nbytes > self.max_bytes and len(self._done) > 1:
            self._done.pop(0)

    def undo(self) -> LabelEdit | None:
        """Take the last step back; return the edit applied, or None."""
        if not self._done:
            return None
        edit = self._done.pop()
        self._undone.append(edit)
        back = edit.inverse()
        back.apply(self._labels)
        return back

    def redo(self) -> LabelEdit | None:
        """Repeat the step taken back last; return the edit applied, or None."""
        if not self._undone:
            return None
        edit = self._undone.pop()
        self._done.append(edit)
        edit.apply(self._labels)
        return edit
