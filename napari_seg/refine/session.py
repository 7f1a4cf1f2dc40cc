"""Correct labels object by object: strokes, a preview, commit, undo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import LabelEdit, bounding_box
from napari_seg.imaging.edits import add_object, next_free_id, object_box
from napari_seg.imaging.history import History
from napari_seg.refine.box import union, volume
from napari_seg.refine.graphcut import network_reader
from napari_seg.refine.solver import Cut, CutParams, Known, cut_object
from napari_seg.refine.strokes import Stroke, as_points
from napari_seg.refine.volume import Volume, normal_spacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box


class CorrectionSession:
    """One user correcting one labels array.

    A stroke changes only the preview; `commit` writes it into the labels as one
    step that `undo` takes back. Labels are read afresh for each stroke, so other
    tools may paint in between.

    Parameters
    ----------
    image : array-like
        Shape (Y, X) or (Z, Y, X), with channels first or last where it has any.
    labels : array of int or uint
        Ids of the spatial shape, 0 is background; gaps are fine. Edited in place.
    probabilities : array-like, optional
        Of a network, shape (*spatial) or (K, *spatial), background first.
    spacing : sequence of float, optional
        Physical size of a voxel along each axis.
    channel_axis : int, optional
        Where it cannot be told from the shape.
    locked : iterable of int, optional
        Ids that keep every pixel.
    overwrite : bool, optional
        Whether the object may take pixels of other, unlocked objects.
    within : tuple of slice, optional
        Correct only here, e.g. one plane of a volume.
    params : CutParams, optional
    max_undo_bytes : int, optional
        Memory for the history; the oldest steps go first.

    Attributes
    ----------
    labels : array
    locked : set of int
    overwrite : bool
    object_id : int
        Object that strokes correct.
    history : History
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
        max_undo_bytes: int = 256 * 2**20,
    ) -> None:
        _check_labels(labels)
        self.labels = labels
        shape = tuple(labels.shape)
        self.locked = set(locked)
        self.overwrite = overwrite
        self.params = params or CutParams()
        self.history = History(max_undo_bytes)
        self._image = Volume(image, len(shape), shape=shape, channel_axis=channel_axis)
        self._network = network_reader(probabilities, shape)
        self._spacing = normal_spacing(spacing, len(shape))
        self.within = within
        self._strokes: list[Stroke] = []
        self._cut: Cut | None = None
        self._known_box: Box | None = None
        self.select(None)

    def select(self, object_id: int | None, box: Box | None = None) -> int:
        """Choose the object that strokes correct, dropping any preview.

        Parameters
        ----------
        object_id : int, optional
            None starts a new object, with the next free id.
        box : tuple of slice, optional
            Where the object lies, if known: spares a search through all labels.

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
        self._known_box = None
        if object_id is None:
            object_id = next_free_id(self.labels)
        else:
            self._known_box = box or object_box(self.labels, object_id, self.within)
        self.object_id = object_id
        self.cancel()
        return object_id

    @property
    def strokes(self) -> tuple[Stroke, ...]:
        """Strokes since the last commit, cancel or selection."""
        return tuple(self._strokes)

    @property
    def is_complete(self) -> bool:
        """Whether the last cut ended within its largest allowed box."""
        return self._cut is None or self._cut.complete

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
        marks = as_points(points, tuple(self.labels.shape))
        if self.within is not None:
            low = np.array([s.start for s in self.within])
            high = np.array([s.stop for s in self.within])
            marks = marks[((marks >= low) & (marks < high)).all(axis=1)]
        if len(marks):
            self._strokes.append(Stroke(marks, positive))
            self._cut = cut_object(
                self._image,
                self._strokes,
                Known(self._previous, self._forbidden, self._network),
                self._spacing,
                self.params,
                self._start(),
                self.within,
            )
        return self.preview()

    def preview(self) -> LabelEdit:
        """Return the edit that `commit` would apply to the labels as they are now."""
        cut = self._cut
        if cut is None:
            empty = tuple(slice(0, 0) for _ in self.labels.shape)
            cut = Cut(empty, np.zeros((0,) * len(empty), bool), complete=True)
        return add_object(
            self.labels,
            [s.start for s in cut.box],
            cut.mask,
            self.object_id,
            locked=self.locked,
            overwrite=self.overwrite,
            name="cut",
        )

    def commit(self) -> LabelEdit | None:
        """Write the preview into the labels; return the edit, None if it is empty."""
        edit = self.preview()
        cut = self._cut
        self.cancel()
        if cut is not None:
            self._known_box = cut.box
        return self.apply(edit)

    def cancel(self) -> None:
        """Drop the preview and its strokes."""
        self._strokes = []
        self._cut = None

    def apply(self, edit: LabelEdit) -> LabelEdit | None:
        """Apply any edit to the labels as one step; an empty one leaves no step."""
        if edit.is_empty:
            return None
        edit.apply(self.labels)
        self.history.push(edit)
        return edit

    def undo(self) -> LabelEdit | None:
        """Take the last step back; return what was applied, None if nothing is left."""
        self.cancel()
        return self.history.undo(self.labels)

    def redo(self) -> LabelEdit | None:
        """Repeat the step taken back last; None if there is none."""
        self.cancel()
        return self.history.redo(self.labels)

    def _start(self) -> Box | None:
        """Return the box of the object: as it was, and as the preview shows it."""
        if self._cut is None or not self._cut.mask.any():
            return self._known_box
        tight = bounding_box(self._cut.mask)
        box = tuple(
            slice(s.start + b.start, s.stop + b.start)
            for s, b in zip(tight, self._cut.box, strict=True)
        )
        known = self._known_box
        return union(known, box) if known is not None and volume(known) else box

    def _previous(self, box: Box) -> NDArray[np.bool_]:
        """Return the object before this stroke: the preview, beyond it the labels."""
        mask = np.asarray(self.labels[box]) == self.object_id
        if self._cut is not None and volume(self._cut.box):
            here, there = _overlap(box, self._cut.box)
            mask[here] = self._cut.mask[there]
        return np.asarray(mask)

    def _forbidden(self, box: Box) -> NDArray[np.bool_]:
        ids = np.asarray(self.labels[box])
        if self.overwrite:
            return np.isin(ids, list(self.locked))
        return np.asarray((ids != 0) & (ids != self.object_id))


def _overlap(box: Box, other: Box) -> tuple[Box, Box]:
    """Return the common part of two boxes, in the coordinates of each."""
    low = [max(a.start, b.start) for a, b in zip(box, other, strict=True)]
    high = [
        max(min(a.stop, b.stop), start)
        for a, b, start in zip(box, other, low, strict=True)
    ]
    parts = [
        tuple(
            slice(a - s.start, b - s.start)
            for a, b, s in zip(low, high, frame, strict=True)
        )
        for frame in (box, other)
    ]
    return parts[0], parts[1]


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
