"""The work on one labels layer: the object in hand, and every edit made to it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from psygnal import Signal

from napari_seg.gui.correction.free_ids import FreeIds
from napari_seg.gui.correction.history import LayerHistory
from napari_seg.gui.correction.locks import Locks, middles
from napari_seg.gui.correction.target import Target
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.repaint import select_label
from napari_seg.imaging.deltas import Box, LabelEdit
from napari_seg.imaging.edits import object_box
from napari_seg.imaging.pages import populate
from napari_seg.refine.session import CorrectionSession
from napari_seg.types import Progress

MakeEdit = Callable[[], LabelEdit]


class Desk:
    """One labels layer being corrected.

    Parameters
    ----------
    viewer : ViewerModel
        Tells which plane is shown.
    target : Target
        The labels, the image and the probabilities.
    jobs : Jobs
        For everything that reads more than a few pixels.
    on_error : callable
        Takes an exception; it is `fail` here.
    """

    changed = Signal()
    """Another object is in hand, its lock turned, or the labels changed."""
    told = Signal(str)
    """One line for the user."""
    busy = Signal(object, str)
    """Share that is done (None: nothing runs) and what is going on."""

    def __init__(
        self,
        viewer: ViewerModel,
        target: Target,
        jobs: Jobs,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.target = target
        self.is_volume = False
        self.is_new = True
        self.is_stopping = False
        self.locks = Locks(viewer, target.layer)
        self._history = LayerHistory(target)
        self.session = CorrectionSession(
            target.image,
            target.labels,
            target.probabilities,
            target.spacing,
            history=self._history,
        )
        self.session.locked = self.locks.ids
        self._viewer = viewer
        self._jobs = jobs
        self.fail = on_error
        self._next_id = 0
        self._job: Job | None = None
        self._keeps = False
        self._free_ids = FreeIds(
            target, jobs, self._take_new, self._on_looking, on_error
        )
        self.new_object()

    @property
    def object_id(self) -> int:
        """The object in hand; 0 until the free ids are known."""
        return self.session.object_id

    @property
    def is_locked(self) -> bool:
        """Whether the object in hand is locked."""
        return self.object_id in self.locks.ids

    def id_at(self, pixel: tuple[int, ...]) -> int:
        """Return the id at a pixel of the layer."""
        return int(np.asarray(self.target.layer.data[pixel]))

    def shown(self, edit: LabelEdit) -> LabelEdit:
        """Return an edit as it lies in the layer, for drawing it."""
        return self.target.shown_edit(edit, self._viewer)

    def place(self) -> None:
        """Let strokes act where the user looks: the plane, or the volume."""
        self.session.within = self.target.within(self._viewer, self.is_volume)

    def along(self, axis: int) -> Box:
        """Return where an object may be carried along an axis: in this frame."""
        self.place()
        parts = list(self.session.within or ())
        parts[axis] = slice(0, int(self.target.labels.shape[axis]))
        return tuple(parts)

    def show_plane(self, axis: int, index: int) -> None:
        """Move the slider of an axis of the grid."""
        target, dims = self.target, self._viewer.dims
        pixel = list(target.here(self._viewer))
        pixel[axis] = index
        world = target.layer.data_to_world(target.to_layer_pixel(pixel))
        place = target.to_layer_axis(axis)
        dims.set_point(dims.ndim - len(world) + place, world[place])

    # The object in hand.

    def new_object(self) -> None:
        """Take a new object in hand, with the next free id."""
        if self._next_id:
            self._take_new(self._next_id)
        else:
            self.find_free_id()

    def find_free_id(self) -> None:
        """Look for the next free id in all labels, and take it in hand."""
        self._free_ids.find()

    def pick(self, object_id: int, pixel: tuple[int, ...]) -> bool:
        """Take an object in hand; return whether there is one.

        Parameters
        ----------
        object_id : int
            The object, 0 for background.
        pixel : tuple of int
            One of its pixels, in the layer.
        """
        if not object_id:
            return False
        self.is_new = False
        if object_id in self.locks.ids:
            self.session.take_up(object_id)
        else:
            self.session.select(object_id, near=self._grid_pixel(pixel))
        self._show_selected()
        return True

    def _take_new(self, object_id: int) -> None:
        self._next_id = object_id
        self.session.take_up(object_id)
        self.is_new = True
        self._show_selected()

    def _show_selected(self) -> None:
        # napari's brush goes on with the same object.
        layer = self.target.layer
        if layer.selected_label != self.object_id:
            select_label(layer, self.object_id)
        self.changed.emit()

    def follow_selected(self) -> None:
        """Take in hand what the user chose in napari's own controls."""
        chosen = int(self.target.layer.selected_label)
        if chosen in (0, self.object_id):
            return
        self.session.take_up(chosen)
        self.is_new = chosen >= self._next_id
        self._next_id = max(self._next_id, chosen)
        self.changed.emit()

    # Edits.

    def apply(self, edits: Sequence[LabelEdit], message: str = "") -> None:
        """Write edits, together one step of undo."""
        with self._history.group():
            written = [edit for edit in edits if self.session.apply(edit) is not None]
        self._note(written, message)

    def commit_cut(self) -> None:
        """Keep what the strokes of the object in hand suggest."""
        done = self.object_id
        word = "added. Click the next one" if self.is_new else "corrected"
        edit = self.session.commit()
        self._note([] if edit is None else [edit], f"Object {done} {word}.")
        if edit is not None and self.is_new:
            self.new_object()

    def _note(self, written: Sequence[LabelEdit], message: str) -> None:
        """Tell what was written, and keep the free id free."""
        if not written:
            message = "Nothing to change."
        elif self._next_id:
            highest = max(int(edit.after.max(initial=0)) for edit in written)
            self._next_id = max(self._next_id, highest + 1)
        self.told.emit(message)
        self.changed.emit()

    def run_edit(self, make: MakeEdit, message: str) -> None:
        """Make an edit in the background, then write it."""
        self.run_job(_told("edit", make), message)

    def run_job(
        self,
        steps: Generator[Progress, None, Any],
        message: str,
        then: Callable[[], None] | None = None,
        keeps: bool = False,
    ) -> None:
        """Run what ends in an edit, then write it; one at a time.

        Parameters
        ----------
        steps : generator of Progress
            Returns an edit, or several that are one step of undo.
        message : str
            Shown when it is done; ``{n}`` stands for the number of pixels.
        then : callable, optional
            Called once the edit is written.
        keeps : bool, optional
            The job asks `is_stopping` itself, and returns what is done by then.
        """
        if self._job is not None:
            self.told.emit("Wait until the last step is done, or press Stop.")
            steps.close()
            return

        def done(edits: Sequence[LabelEdit]) -> None:
            self._end_job()
            if all(self._fits(edit) for edit in edits):
                count = sum(edit.size for edit in edits)
                self.apply(edits, message.format(n=f"{count:,}"))
                if then is not None:
                    then()

        def failed(error: BaseException) -> None:
            self._end_job()
            self.fail(error)

        def stopped() -> None:
            self._end_job()
            self.told.emit("Stopped; nothing was changed.")

        self.is_stopping, self._keeps = False, keeps
        self._job = self._jobs.start(
            Job(
                _with_memory(steps, self.target.labels),
                on_done=done,
                on_progress=self._on_progress,
                on_error=failed,
                on_stopped=stopped,
                poll_s=0.03,
            )
        )

    def stop(self) -> None:
        """Stop what runs; planes that are done are kept."""
        self.is_stopping = True
        if self._job is not None and not self._keeps:
            self._job.cancel()

    def close(self) -> None:
        """Stop, and let go of the layer."""
        self.stop()
        self._free_ids.close()

    def toggle_lock(self, object_id: int, pixel: tuple[int, ...] | None = None) -> None:
        """Lock an object, or unlock it; a pixel of it saves looking for it."""
        if not object_id:
            self.told.emit("There is no object here.")
            return
        labels, depth = self.target.labels, self.target.depth_axis
        near = None if pixel is None else self._grid_pixel(pixel)

        def find() -> list[tuple[int, ...]]:
            box = object_box(labels, object_id, near=near)
            return middles(np.asarray(labels[box]) == object_id, box, depth)

        def done(where: list[tuple[int, ...]]) -> None:
            is_locked = self.locks.toggle(
                object_id, [self.target.to_layer_pixel(p) for p in where]
            )
            now = "locked: no tool changes it" if is_locked else "unlocked"
            self.told.emit(f"Object {object_id} is {now}.")
            self.changed.emit()

        self._jobs.start(
            Job(_told("lock", find), on_done=done, on_error=self.fail, poll_s=0.02)
        )

    def _grid_pixel(self, pixel: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(i) for i in self.target.to_grid(np.array([pixel]))[0])

    def _fits(self, edit: LabelEdit) -> bool:
        """Whether the labels are still as they were when the edit was made."""
        if edit.fits(self.target.labels):
            return True
        self.told.emit("The labels have changed meanwhile; nothing was written.")
        return False

    def _on_progress(self, progress: Progress) -> None:
        share = progress.done / progress.total if progress.total else -1.0
        self.busy.emit(share, progress.message or progress.stage)

    def _on_looking(self, share: float | None) -> None:
        """Tell how much was looked through, unless something else runs."""
        if self._job is None:
            self.busy.emit(share, "" if share is None else "looking for a free id")

    def _end_job(self) -> None:
        self._job = None
        self.busy.emit(None, "")


def _told(stage: str, make: Callable[[], Any]) -> Generator[Progress, None, Any]:
    yield Progress(stage, 0, 0)
    return make()


def _with_memory(
    steps: Generator[Progress, None, Any], labels: Any
) -> Generator[Progress, None, Sequence[LabelEdit]]:
    """Return the edits once there is memory to write them to: that may take long."""
    result = yield from steps
    edits = [result] if isinstance(result, LabelEdit) else result
    yield from populate(labels, [edit.box for edit in edits])
    return edits
