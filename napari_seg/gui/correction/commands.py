"""The buttons that act at once on the object in hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from napari_seg.errors import LabelsError, NapariSegError
from napari_seg.gui.correction.desk import Desk
from napari_seg.imaging.edits import (
    delete_objects,
    fill_holes,
    keep_largest_part,
    smooth_object,
)


class Commands:
    """Runs the panel's one-shot edits.

    Parameters
    ----------
    owner : CorrectController
        Has the desk, and shows what went wrong.
    """

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def connect(self, panel: Any) -> None:
        """Take requests from a panel."""
        on = self._on
        panel.new_object_requested.connect(on(lambda desk: desk.new_object()))
        panel.next_free_id_requested.connect(on(lambda desk: desk.find_free_id()))
        panel.fill_requested.connect(on(partial(_reshape, fill_holes, "Holes filled")))
        panel.smooth_requested.connect(on(partial(_reshape, smooth_object, "Smoothed")))
        panel.largest_requested.connect(
            on(partial(_reshape, keep_largest_part, "Largest part kept"))
        )
        panel.delete_requested.connect(on(_delete))
        panel.lock_requested.connect(on(self._lock))
        panel.stop_requested.connect(self._on_stop)

    def _on(self, act: Callable[[Desk], None]) -> Callable[[], None]:
        """Return a slot that acts on the desk, once nothing waits for Enter."""

        def slot() -> None:
            desk = self._owner.desk
            if desk is None:
                return
            self._owner.commit()
            try:
                act(desk)
            except NapariSegError as error:
                self._owner.fail(error)

        return slot

    def _lock(self, desk: Desk) -> None:
        desk.toggle_lock(_object_of(desk))

    def _on_stop(self) -> None:
        if self._owner.desk is not None:
            self._owner.desk.stop()


def _object_of(desk: Desk) -> int:
    if desk.is_new or not desk.object_id:
        raise LabelsError("No object is selected", remedy="Ctrl+click one first.")
    return desk.object_id


def _reshape(edit: Callable[..., Any], message: str, desk: Desk) -> None:
    object_id = _object_of(desk)
    desk.place()
    make = partial(
        edit,
        desk.target.labels,
        object_id,
        locked=set(desk.locks.ids),
        within=desk.session.within,
    )
    desk.run_edit(make, f"{message}: object {object_id}.")


def _delete(desk: Desk) -> None:
    object_id = _object_of(desk)
    make = partial(
        delete_objects, desk.target.labels, [object_id], locked=set(desk.locks.ids)
    )
    desk.run_edit(make, f"Object {object_id} deleted.")
