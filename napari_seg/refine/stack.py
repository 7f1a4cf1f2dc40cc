"""An image and its labels as planes along one axis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import Change, LabelEdit, bounding_box, join_edit
from napari_seg.imaging.slabs import Box, box_shape, moved, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.refine.volume import Volume


@dataclass(frozen=True)
class Piece:
    """A mask in its bounding box in a plane."""

    box: Box
    mask: NDArray[np.bool_]

    @classmethod
    def at(cls, start: Sequence[int], tight: Box, mask: NDArray[np.bool_]) -> Piece:
        """Return the tight part of a mask that begins at `start`."""
        return cls(moved(tight, start), np.ascontiguousarray(mask[tight]))


@dataclass(frozen=True)
class Stack:
    """Planes of an image and of its labels, and one object in them.

    Parameters
    ----------
    image : Volume
    labels : array of int
    object_id : int
    axis : int
        Of the planes; boxes of a plane lack it.
    limits : tuple of slice
        Beyond them nothing is read or changed.
    network : callable or None
        Log-odds for a box.
    locked : frozenset of int
    overwrite : bool
        Whether other, unlocked ids may lose pixels to the object.
    """

    image: Volume
    labels: Any
    object_id: int
    axis: int
    limits: Box
    network: Callable[[Box], NDArray[np.float32] | None] | None
    locked: frozenset[int]
    overwrite: bool

    @classmethod
    def of(
        cls,
        image: Volume,
        labels: Any,
        object_id: int,
        axis: int,
        network: Callable[[Box], NDArray[np.float32] | None] | None,
        within: Box | None,
        locked: Iterable[int],
        overwrite: bool,
    ) -> Stack:
        """Return the planes along an axis."""
        locked = frozenset(locked)
        if object_id in locked:
            raise LabelsError(
                "A locked object cannot be changed",
                f"object {object_id}",
                "Unlock it first.",
            )
        limits = within or whole(labels)
        return cls(image, labels, object_id, axis, limits, network, locked, overwrite)

    def ways(self, start: int, stop: int | None) -> list[range]:
        """Return the planes to go through, for each direction."""
        side = self.limits[self.axis]
        up, down = range(start + 1, side.stop), range(start - 1, side.start - 1, -1)
        if stop is None:
            return [up, down]
        if stop > start:
            return [range(start + 1, min(stop, side.stop))]
        return [range(start - 1, max(stop, side.start - 1), -1)]

    def index(self, plane: int, box: Box) -> Box:
        """Return the box in the whole array of a box in a plane."""
        return (*box[: self.axis], slice(plane, plane + 1), *box[self.axis :])

    def pixels(self, plane: int, box: Box) -> NDArray[np.float32]:
        """Return a piece of the image, shape (C, *box)."""
        return self.image.read(self.index(plane, box)).squeeze(self.axis + 1)

    def ids(self, plane: int, box: Box) -> NDArray[Any]:
        """Return a piece of the labels, shape of the box."""
        return np.asarray(self.labels[self.index(plane, box)]).squeeze(self.axis)

    def log_odds(self, plane: int, box: Box) -> NDArray[np.float32] | None:
        """Return a piece of the network's log-odds, None without a network."""
        if self.network is None:
            return None
        found = self.network(self.index(plane, box))
        return None if found is None else found.squeeze(self.axis)

    def is_forbidden(self, plane: int, box: Box) -> NDArray[np.bool_]:
        """Tell where the object must not be."""
        ids = self.ids(plane, box)
        if self.overwrite:
            return np.isin(ids, list(self.locked))
        return np.asarray((ids != 0) & (ids != self.object_id))

    def held(self, plane: int) -> Piece | None:
        """Return the object as it is in a plane, None if it is not there."""
        side = self.limits[self.axis]
        if not side.start <= plane < side.stop:
            return None
        box = self._plane_box()
        mask = self.ids(plane, box) == self.object_id
        tight = bounding_box(mask)
        if 0 in box_shape(tight):
            return None
        return Piece.at([s.start for s in box], tight, mask)

    def around(
        self, piece: Piece, margin: Sequence[int]
    ) -> tuple[Box, NDArray[np.bool_]]:
        """Return a box around a piece, and its mask in that box."""
        box = tuple(
            slice(max(s.start - m, b.start), min(s.stop + m, b.stop))
            for s, m, b in zip(piece.box, margin, self._plane_box(), strict=True)
        )
        mask = np.zeros(box_shape(box), bool)
        mask[moved(piece.box, [-s.start for s in box])] = piece.mask
        return box, mask

    def edit(self, found: Mapping[int, Piece], name: str) -> LabelEdit:
        """Return the edit that makes pieces the object's extent in their planes."""
        dtype, ndim = np.dtype(self.labels.dtype), len(self.labels.shape)
        changes = [self._change(plane, found[plane]) for plane in sorted(found)]
        if self.axis and changes:
            changes = [_joined(changes, self.labels)]
        return join_edit(name, changes, dtype, ndim)

    def _change(self, plane: int, piece: Piece) -> Change:
        box = self._plane_box() if self.held(plane) else piece.box
        before = self.ids(plane, box)
        mask = np.zeros(before.shape, bool)
        mask[moved(piece.box, [-s.start for s in box])] = piece.mask
        mask &= ~self.is_forbidden(plane, box)
        after = before.copy()
        after[before == self.object_id] = 0
        after[mask] = self.object_id
        index = self.index(plane, box)
        shape = box_shape(index)
        return index, before.reshape(shape), after.reshape(shape)

    def _plane_box(self) -> Box:
        return tuple(s for a, s in enumerate(self.limits) if a != self.axis)


def _joined(changes: Sequence[Change], labels: Any) -> Change:
    """Put pieces that overlap along the first axis into one."""
    box = tuple(
        slice(min(s.start for s in sides), max(s.stop for s in sides))
        for sides in zip(*(piece for piece, _, _ in changes), strict=True)
    )
    before = np.array(labels[box])
    after = before.copy()
    for piece, _, new in changes:
        after[moved(piece, [-s.start for s in box])] = new
    return box, before, after
