"""What each tool does with a gesture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from napari_seg.errors import LabelsError
from napari_seg.gui.correction.cutter import StrokeQueue
from napari_seg.gui.correction.desk import Desk
from napari_seg.gui.correction.elsewhere import Elsewhere
from napari_seg.gui.correction.gesture import Gesture
from napari_seg.gui.correction.ink import Ink
from napari_seg.gui.correction.pigments import NEUTRAL
from napari_seg.gui.correction.splitting import SplitHand
from napari_seg.gui.correction.stroking import ObjectHand
from napari_seg.gui.correction.tools import Tool
from napari_seg.gui.jobs import Jobs
from napari_seg.imaging.deltas import LabelEdit
from napari_seg.imaging.edits import delete_objects, ids_in, merge_objects


class Hand(Protocol):
    """One tool at work on a desk."""

    @property
    def has_pending(self) -> bool:
        """Whether something waits for Enter."""

    def draw(self, gesture: Gesture) -> None:
        """Take a gesture, finished or not."""

    def commit(self) -> None:
        """Write what waits."""

    def cancel(self) -> None:
        """Drop what waits."""

    def undo(self) -> None:
        """Take the last stroke of what waits back."""


class Immediate:
    """A tool that acts when the button is released, and shows its line until then."""

    has_pending = False

    def __init__(self, ink: Ink, act: Callable[[Gesture], None]) -> None:
        self._ink = ink
        self._act = act

    def draw(self, gesture: Gesture) -> None:
        """Show the line or rectangle; act on a finished gesture."""
        if gesture.is_final:
            self._ink.clear()
            self._act(gesture)
        else:
            self._ink.set_strokes([(gesture.points, NEUTRAL)])

    def commit(self) -> None:
        """Nothing ever waits."""

    def cancel(self) -> None:
        """Nothing ever waits."""

    def undo(self) -> None:
        """Nothing ever waits."""


def merge(desk: Desk, gesture: Gesture) -> None:
    """Make the objects under a stroke one."""
    labels, locked = desk.target.labels, set(desk.locks.ids)
    ids = ids_in(labels, desk.target.to_grid(gesture.points))
    free = [i for i in ids if i not in locked]
    if len(free) < 2:
        held = " (locked ones do not count)" if len(ids) > len(free) else ""
        desk.told.emit(f"Draw across two or more objects{held}.")
        return
    first = desk.id_at(gesture.start)
    into = first if first in free else free[0]
    make = partial(merge_objects, labels, free, into=into, locked=locked)
    desk.run_edit(make, f"{len(free)} objects merged into {into}.")


def delete(desk: Desk, gesture: Gesture) -> None:
    """Delete the object under a click, or all that a rectangle meets."""
    if gesture.is_click:
        ids = [desk.id_at(gesture.start)]
        make = partial(_deletion, desk, lambda: ids)
        desk.run_edit(make, f"Object {ids[0]} deleted.")
        return
    corners = desk.target.to_grid(gesture.points)
    low, high = corners.min(axis=0), corners.max(axis=0) + 1
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    # Found in the background: a rectangle may be as large as the image.
    make = partial(_deletion, desk, partial(ids_in, desk.target.labels, box))
    desk.run_edit(make, "Objects deleted, {n} pixels.")


def _deletion(desk: Desk, find: Callable[[], list[int]]) -> LabelEdit:
    """Return the edit that deletes the objects found, but for locked ones."""
    locked = frozenset(desk.locks.ids)
    ids = [i for i in find() if i]
    free = [i for i in ids if i not in locked]
    if not free:
        raise LabelsError("Locked objects stay" if ids else "There is no object here")
    return delete_objects(desk.target.labels, free, locked=locked)


def lock(desk: Desk, gesture: Gesture) -> None:
    """Lock the object under a click, or unlock it."""
    desk.toggle_lock(desk.id_at(gesture.start), gesture.start)


def pick(desk: Desk, gesture: Gesture) -> None:
    """Take the object under a click in hand."""
    if not desk.pick(desk.id_at(gesture.start), gesture.start):
        desk.told.emit("There is no object here.")


def make_hands(
    desk: Desk,
    ink: Ink,
    jobs: Jobs,
    elsewhere: Elsewhere,
    on_change: Callable[[], None],
    on_busy: Callable[[bool], None],
) -> dict[Tool, Hand]:
    """Return every tool for a desk."""
    queue = StrokeQueue(desk.session, jobs, elsewhere.solve)
    queue.on_busy = on_busy
    return {
        Tool.OBJECT: ObjectHand(desk, ink, queue, on_change),
        Tool.SPLIT: SplitHand(desk, ink, jobs, elsewhere, on_change),
        Tool.MERGE: Immediate(ink, partial(merge, desk)),
        Tool.DELETE: Immediate(ink, partial(delete, desk)),
        Tool.LOCK: Immediate(ink, partial(lock, desk)),
        Tool.PICK: Immediate(ink, partial(pick, desk)),
    }
