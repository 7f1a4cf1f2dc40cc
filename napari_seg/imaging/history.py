"""Undo and redo of label edits, within a budget of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_seg.imaging.deltas import LabelEdit


class History:
    """Steps that can be taken back and repeated.

    Parameters
    ----------
    max_bytes : int
        When the steps take more, the oldest are forgotten.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._done: list[LabelEdit] = []
        self._undone: list[LabelEdit] = []

    def __len__(self) -> int:
        return len(self._done)

    @property
    def nbytes(self) -> int:
        """Memory of all steps."""
        return sum(edit.nbytes for edit in (*self._done, *self._undone))

    def push(self, edit: LabelEdit) -> None:
        """Remember an edit that was applied; what was undone cannot be redone."""
        self._undone.clear()
        self._done.append(edit)
        while self.nbytes > self.max_bytes and len(self._done) > 1:
            self._done.pop(0)

    def undo(self, labels: Any) -> LabelEdit | None:
        """Take the last step back; return the edit applied, or None."""
        if not self._done:
            return None
        edit = self._done.pop()
        self._undone.append(edit)
        return _applied(edit.inverse(), labels)

    def redo(self, labels: Any) -> LabelEdit | None:
        """Repeat the step taken back last; return the edit applied, or None."""
        if not self._undone:
            return None
        edit = self._undone.pop()
        self._done.append(edit)
        return _applied(edit, labels)


def _applied(edit: LabelEdit, labels: Any) -> LabelEdit:
    edit.apply(labels)
    return edit
