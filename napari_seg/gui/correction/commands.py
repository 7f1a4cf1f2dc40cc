"""The buttons that act at once on the object in hand."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

from napari_seg.errors import LabelsError, NapariSegError
from napari_seg.gui.correction.desk import Desk
from napari_seg.imaging.deltas import LabelEdit
from napari_seg.imaging.edits import (
    delete_objects,
    fill_holes,
    keep_largest_part,
    smooth_object,
)
from napari_seg.imaging.interpolation import interpolate_object
from napari_seg.refine.propagate import iter_propagate, solve_step
from napari_seg.types import Progress

_WAYS = {"next": 1, "previous": -1}


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
        panel.smooth_requested.connect(on(_smooth))
        panel.largest_requested.connect(
            on(partial(_reshape, keep_largest_part, "Largest part kept"))
        )
        panel.delete_requested.connect(on(_delete))
        panel.lock_requested.connect(on(self._lock))
        panel.interpolate_requested.connect(on(_interpolate))
        panel.propagate_requested.connect(self._on_propagate)
        panel.range_requested.connect(self._on_range)
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

    def _on_propagate(self, what: str) -> None:
        self._on(partial(self._propagate, what))()

    def _on_range(self, first: int, last: int) -> None:
        self._on(partial(self._propagate_to, first, last))()

    def _on_stop(self) -> None:
        if self._owner.desk is not None:
            self._owner.desk.stop()

    def _propagate(self, what: str, desk: Desk) -> None:
        """Carry the object on to the next plane or frame, or as far as it goes."""
        axis, here = self._depth(desk)
        if what not in _WAYS:
            self._carry(desk, axis, here, [None])
            return
        there = here + _WAYS[what]
        if not 0 <= there < desk.target.labels.shape[axis]:
            raise LabelsError("There is no plane beyond this one", f"plane {here}")
        self._carry(desk, axis, here, [there + _WAYS[what]], show=there)

    def _propagate_to(self, first: int, last: int, desk: Desk) -> None:
        axis, here = self._depth(desk)
        goals = [first - 1] if first < here else []
        goals += [last + 1] if last > here else []
        if not goals:
            raise LabelsError(
                "The range holds no plane but this one", f"{first} to {last}"
            )
        self._carry(desk, axis, here, goals)

    def _depth(self, desk: Desk) -> tuple[int, int]:
        axis = desk.target.depth_axis
        if axis is None:
            raise LabelsError(
                "There are no planes or frames to go to", f"axes {desk.target.axes}"
            )
        return axis, desk.target.here(self._owner.viewer)[axis]

    def _carry(
        self,
        desk: Desk,
        axis: int,
        here: int,
        goals: Sequence[int | None],
        show: int | None = None,
    ) -> None:
        """Cut the object in the planes from here towards each goal."""
        object_id = _object_of(desk)
        session = desk.session
        desk.place()
        within = desk.along(axis)
        legs = [
            iter_propagate(
                session.image,
                session.labels,
                object_id,
                axis=axis,
                start=here,
                stop=goal,
                network=session.network,
                spacing=desk.target.spacing,
                within=within,
                locked=frozenset(session.locked),
                overwrite=session.overwrite,
                solve=partial(self._owner.elsewhere.run, solve_step),
            )
            for goal in goals
        ]
        word = "plane" if desk.target.axes[axis] == "Z" else "frame"
        desk.run_job(
            _in_turn(legs, lambda: desk.is_stopping),
            f"Object {object_id} carried on, {word} by {word}: {{n}} pixels.",
            then=None if show is None else partial(desk.show_plane, axis, show),
            keeps=True,
        )


def _in_turn(
    legs: Sequence[Generator[Progress, bool | None, LabelEdit]],
    is_stopping: Callable[[], bool],
) -> Generator[Progress, None, list[LabelEdit]]:
    """Run one leg after the other; told to stop, keep what is done."""
    edits = []
    for leg in legs:
        try:
            step = next(leg)
            while True:
                yield step
                step = leg.send(is_stopping())
        except StopIteration as end:
            edits.append(end.value)
        if is_stopping():
            break
    return edits


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


def _smooth(desk: Desk) -> None:
    _reshape(partial(smooth_object, spacing=desk.target.spacing), "Smoothed", desk)


def _delete(desk: Desk) -> None:
    object_id = _object_of(desk)
    make = partial(
        delete_objects, desk.target.labels, [object_id], locked=set(desk.locks.ids)
    )
    desk.run_edit(make, f"Object {object_id} deleted.")


def _interpolate(desk: Desk) -> None:
    object_id = _object_of(desk)
    axis = desk.target.depth_axis
    if axis is None:
        raise LabelsError("There are no planes to fill between")
    make = partial(
        interpolate_object,
        desk.target.labels,
        object_id,
        axis=axis,
        within=desk.along(axis),
        locked=set(desk.locks.ids),
        spacing=desk.target.spacing,
    )
    desk.run_edit(make, f"Object {object_id} interpolated.")
