"""The tool that adds, grows and trims objects by strokes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_seg.gui.correction.cutter import StrokeQueue
from napari_seg.gui.correction.desk import Desk
from napari_seg.gui.correction.gesture import Gesture
from napari_seg.gui.correction.ink import Ink
from napari_seg.gui.correction.pigments import MINUS, PLUS
from napari_seg.imaging.deltas import LabelEdit


class ObjectHand:
    """Adds an object, or corrects the one in hand, by strokes of two signs.

    Parameters
    ----------
    desk : Desk
        The labels.
    ink : Ink
        Shows strokes and the proposed mask.
    queue : StrokeQueue
        Cuts.
    on_change : callable
        Called when something waits for Enter, or no longer does.
    """

    def __init__(
        self, desk: Desk, ink: Ink, queue: StrokeQueue, on_change: Callable[[], None]
    ) -> None:
        self.positive = True
        queue.on_cut = self._show_cut
        queue.on_error = self._fail
        self._desk = desk
        self._ink = ink
        self._queue = queue
        self._on_change = on_change
        self._drawn: list[tuple[np.ndarray, bool]] = []
        self._key = 0
        self._is_drawing = False
        self._is_refused = False

    @property
    def has_pending(self) -> bool:
        """Whether strokes wait for Enter."""
        return bool(self._drawn)

    def draw(self, gesture: Gesture) -> None:
        """Begin a stroke, draw it further, or finish it."""
        if not self._is_drawing:
            self._is_refused = not self._begin(gesture)
            self._is_drawing = True
        if not self._is_refused:
            points = self._desk.target.to_grid(gesture.points)
            positive = self._drawn[-1][1]
            self._drawn[-1] = gesture.points, positive
            self._show_strokes()
            self._queue.push(self._key, points, positive)
        if gesture.is_final:
            self._is_drawing = False

    def commit(self) -> None:
        """Write the proposed mask, once every stroke has its answer."""
        self._queue.when_idle(self._commit)

    def cancel(self) -> None:
        """Drop the strokes."""
        self._queue.clear()
        self._desk.session.cancel()
        self._clear()

    def undo(self) -> None:
        """Take the last stroke back."""
        if self._is_drawing:
            return
        self._drawn.pop()
        self._queue.drop_last()
        if self._drawn:
            self._show_strokes()
        else:
            self.cancel()

    def _begin(self, gesture: Gesture) -> bool:
        """Choose object and sign for a new stroke; False if it cannot be drawn."""
        desk = self._desk
        if self._drawn and not _is_inside(desk, gesture):
            # Another plane: what waits belongs to the one before, and is kept.
            if not self._queue.is_idle:
                desk.told.emit("One moment: the last stroke is still being cut.")
                return False
            self._commit()
        if not self._drawn:
            desk.place()
            there = desk.id_at(gesture.start)
            if there not in (0, desk.object_id) and there not in desk.locks.ids:
                desk.pick(there, gesture.start)
        if desk.is_locked:
            desk.told.emit(f"Object {desk.object_id} is locked. Unlock it first.")
            return False
        if not desk.object_id:
            desk.told.emit("Still looking for a free id.")
            return False
        self._key += 1
        positive = self.positive is not ("Shift" in gesture.modifiers)
        self._drawn.append((gesture.points, positive))
        self._on_change()
        return True

    def _show_strokes(self) -> None:
        self._ink.set_strokes([(p, _ink_of(s)) for p, s in self._drawn])

    def _fail(self, error: BaseException) -> None:
        self.cancel()
        self._desk.fail(error)

    def _show_cut(self, edit: LabelEdit) -> None:
        """Show what the strokes suggest."""
        desk = self._desk
        self._ink.set_preview(desk.shown(edit), desk.object_id)
        if not desk.session.is_complete:
            desk.told.emit("The object may go on beyond the preview.")

    def _commit(self) -> None:
        self._desk.commit_cut()
        self._queue.clear()
        self._clear()

    def _clear(self) -> None:
        self._drawn = []
        self._is_drawing = False
        self._ink.clear()
        self._on_change()


def _ink_of(positive: bool) -> int:
    return PLUS if positive else MINUS


def _is_inside(desk: Desk, gesture: Gesture) -> bool:
    """Whether a gesture begins where the strokes that wait may act."""
    within = desk.session.within
    start = desk.target.to_grid(np.array([gesture.start]))[0]
    return within is None or all(
        part.start <= i < part.stop for part, i in zip(within, start, strict=True)
    )
