"""Correct labels object by object: strokes, a preview, commit, undo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import LabelEdit, bounding_box
from napari_seg.imaging.edits import next_free_id, object_box
from napari_seg.imaging.history import EditHistory, History
from napari_seg.imaging.objects import ids_in
from napari_seg.imaging.slabs import moved
from napari_seg.imaging.stored import indexed
from napari_seg.refine.box import union, volume
from napari_seg.refine.graphcut import core_reader, network_reader
from napari_seg.refine.solver import Cut, CutParams, Known
from napari_seg.refine.strokes import Stroke, as_points
from napari_seg.refine.task import (
    CutTask,
    propose_edit,
    read_forbidden,
    read_previous,
)
from napari_seg.refine.volume import Volume, normal_spacing

if TYPE_CHECKING:
    from napari_seg.imaging.deltas import Box


class CorrectionSession:
    """One user correcting one labels array.

    A stroke changes only the preview; `commit` writes it into the labels as one
    step that `undo` takes back. Labels are read afresh for each stroke, so other
    tools may paint in between.

    Parameters
    ----------
    image : array-like or Volume
        Shape (Y, X) or (Z, Y, X), with channels first or last where it has any.
    labels : array of int or uint
        Ids of the spatial shape, 0 is background; gaps are fine. Edited in place. Of
        large ones on disk it is looked up once where the ids are (`StoredLabels`): who
        else writes into them tells by ``session.labels.note(box)``.
    probabilities : array-like, optional
        Of a network, shape (*spatial) or (K, *spatial), background first.
    spacing : sequence of float, optional
        Physical size of a voxel along each axis.
    channel_axis : int, optional
        Where it cannot be told from the shape.
    locked : iterable of int, optional
        Ids that keep every pixel.
    overwrite : bool, optional
        Whether the object may take pixels of other, unlocked objects that its
        strokes reach into.
    within : tuple of slice, optional
        Correct only here, e.g. one plane of a volume.
    params : CutParams, optional
    history : EditHistory, optional
        Writes the edits and takes them back, e.g. that of a viewer.

    Attributes
    ----------
    image : Volume
    labels : array
    network : callable
        Returns the log-odds of the network in a box, or None.
    spacing : tuple of float
        Voxel size in units of its shortest side.
    locked : set of int
    overwrite : bool
    within : tuple of slice or None
    object_id : int
        Object that strokes correct.
    history : EditHistory
    """

    def __init__(
        self,
        image: Any,
        labels: Any,
        probabilities: Any = None,
        spacing: Sequence[float] | None = None,
        *,
        channel_axis: int | None = None,
        locked: Iterable[int] = (),
        overwrite: bool = False,
        within: Box | None = None,
        params: CutParams | None = None,
        history: EditHistory | None = None,
    ) -> None:
        _check_labels(labels)
        self.labels = labels = indexed(labels)
        shape = tuple(labels.shape)
        self.locked = set(locked)
        self.overwrite = overwrite
        self.params = params or CutParams()
        self.history = history or History(labels)
        self.image = (
            image
            if isinstance(image, Volume)
            else Volume(image, len(shape), shape=shape, channel_axis=channel_axis)
        )
        self.network = network_reader(probabilities, shape)
        self._core = core_reader(probabilities, shape)
        self.spacing = normal_spacing(spacing, len(shape))
        self.within = within
        self._strokes: list[Stroke] = []
        self._answers: list[Cut | None] = []
        self._task: CutTask | None = None
        self._known_box: Box | None = None
        self.object_id = 0

    def select(
        self,
        object_id: int | None,
        near: Sequence[int] | None = None,
        box: Box | None = None,
    ) -> int:
        """Choose the object that strokes correct, dropping any preview.

        Parameters
        ----------
        object_id : int, optional
            None starts a new object, with the next free id.
        near : sequence of int, optional
            A voxel of the object: spares a search through all labels.
        box : tuple of slice, optional
            Where the object lies, if known.

        Returns
        -------
        int
            The id.
        """
        if object_id is not None and object_id in self.locked:
            raise LabelsError(
                "A locked object cannot be changed",
                f"object {object_id}",
                "Unlock it first.",
            )
        if object_id is None:
            object_id, box = next_free_id(self.labels), None
        elif box is None:
            box = object_box(self.labels, object_id, self.within, near)
        self.take_up(object_id, box)
        return object_id

    def take_up(self, object_id: int, box: Box | None = None) -> None:
        """Correct an object without looking for it: strokes will show where it is.

        Parameters
        ----------
        object_id : int
            The object; if it is locked, nothing can be committed.
        box : tuple of slice, optional
            Where it lies, if known.
        """
        self.cancel()
        self.object_id, self._known_box = object_id, box

    @property
    def strokes(self) -> tuple[Stroke, ...]:
        """Strokes since the last commit, cancel or selection."""
        return tuple(self._strokes)

    @property
    def is_complete(self) -> bool:
        """Whether the last cut ended within its largest allowed box."""
        cut = self._cut
        return cut is None or cut.complete

    def stroke(self, points: Any, positive: bool) -> LabelEdit:
        """Add a stroke and return the edit that it and its forerunners suggest.

        Parameters
        ----------
        points : ndarray of bool, or array_like of int, shape (N, ndim)
            Pixels drawn; those outside the image are ignored.
        positive : bool
            Whether they belong to the object.

        Returns
        -------
        LabelEdit
            What `commit` would do; the labels do not change yet.
        """
        task = self.add_stroke(points, positive)
        if task is not None:
            self.take(task, task.solve())
        return self.preview()

    def add_stroke(
        self, points: Any, positive: bool, *, replace: bool = False
    ) -> CutTask | None:
        """Add a stroke; return the cut to solve, None if it lies outside.

        What was asked for before is out of date: `take` refuses it.

        Parameters
        ----------
        points : ndarray of bool, or array_like of int, shape (N, ndim)
            Pixels drawn.
        positive : bool
            Whether they belong to the object.
        replace : bool, optional
            In place of the last stroke, which has been drawn further since.
        """
        marks = as_points(points, tuple(self.labels.shape))
        if self.within is not None:
            low = np.array([s.start for s in self.within])
            high = np.array([s.stop for s in self.within])
            marks = marks[((marks >= low) & (marks < high)).all(axis=1)]
        if not len(marks):
            return None
        if not self.object_id:
            self.select(None)
        if replace:
            self.drop_stroke()
        base = self._cut
        self._strokes.append(Stroke(marks, positive))
        self._answers.append(None)
        self._task = self._snapshot(base)
        return self._task

    def drop_stroke(self) -> LabelEdit:
        """Take the last stroke back; return what those before it suggest."""
        if self._strokes:
            self._strokes.pop()
            self._answers.pop()
        self._task = None
        return self.preview()

    def take(self, task: CutTask, cut: Cut) -> bool:
        """Take the answer to a task; False if a newer stroke has made it late."""
        if task is not self._task:
            return False
        self._answers[-1] = cut
        return True

    def preview(self) -> LabelEdit:
        """Return the edit that `commit` would apply to the labels as they are now."""
        cut = self._cut
        if cut is None:
            empty = tuple(slice(0, 0) for _ in self.labels.shape)
            cut = Cut(empty, np.zeros((0,) * len(empty), bool), complete=True)
        return self._propose()(cut)

    def commit(self) -> LabelEdit | None:
        """Write the preview into the labels; return the edit, None if it is empty."""
        edit = self.preview()
        cut = self._cut
        self.cancel()
        if cut is not None:
            old = self._known_box
            is_known = old is not None and volume(old)
            self._known_box = union(old, cut.box) if old and is_known else cut.box
        return self.apply(edit)

    def cancel(self) -> None:
        """Drop the preview and its strokes."""
        self._strokes, self._answers = [], []
        self._task = None

    def apply(self, edit: LabelEdit) -> LabelEdit | None:
        """Apply any edit to the labels as one step; an empty one leaves no step."""
        if edit.is_empty:
            return None
        self.history.apply(edit)
        return edit

    def undo(self) -> LabelEdit | None:
        """Take the last step back; return what was applied, None if nothing is left."""
        self.cancel()
        return self.history.undo()

    def redo(self) -> LabelEdit | None:
        """Repeat the step taken back last; None if there is none."""
        self.cancel()
        return self.history.redo()

    def _taken(self) -> frozenset[int]:
        """Return the ids that may lose pixels: those that strokes reach into."""
        if not self.overwrite:
            return frozenset()
        drawn = [stroke.points for stroke in self._strokes if stroke.positive]
        ids = {i for points in drawn for i in ids_in(self.labels, points)}
        return frozenset(ids - self.locked - {self.object_id})

    def _propose(self) -> Callable[[Cut], LabelEdit]:
        return partial(
            propose_edit,
            self.labels,
            self.object_id,
            frozenset(self.locked),
            self.overwrite,
        )

    @property
    def _cut(self) -> Cut | None:
        """The latest answer."""
        answers = [cut for cut in self._answers if cut is not None]
        return answers[-1] if answers else None

    def _snapshot(self, base: Cut | None) -> CutTask:
        known = Known(
            partial(read_previous, self.labels, self.object_id, base),
            partial(read_forbidden, self.labels, self.object_id, self._taken()),
            self.network,
            self._core,
        )
        return CutTask(
            self.image,
            tuple(self._strokes),
            known,
            self.spacing,
            self.params,
            self._start(base),
            self.within,
            self._propose(),
        )

    def _start(self, base: Cut | None) -> Box | None:
        """Return the box of the object: as it was, and as the strokes made it."""
        known = self._known_box
        if base is None or not base.mask.any():
            return known
        box = moved(bounding_box(base.mask), [s.start for s in base.box])
        return union(known, box) if known is not None and volume(known) else box


def _check_labels(labels: Any) -> None:
    kind = np.dtype(labels.dtype).kind
    if kind not in "iu":
        raise LabelsError(
            "Labels must be integers", str(labels.dtype), "Convert them to int32."
        )
    if not hasattr(labels, "__setitem__") or hasattr(labels, "dask"):
        raise LabelsError(
            "Labels cannot be edited in place",
            type(labels).__name__,
            "Load them as a NumPy or zarr array.",
        )
