"""One change to a labels array and its inverse, stored compressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.slabs import Box, box_shape, moved, slabs

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Box", "LabelEdit", "bounding_box", "join_edit", "make_edit"]

Change = tuple[Box, "NDArray[Any]", "NDArray[Any]"]
"""A piece of the labels, and its ids before and after."""


@dataclass(frozen=True)
class LabelEdit:
    """A change to some pixels of a labels array, stored compressed.

    Parameters
    ----------
    name : str
        What was done, e.g. ``"merge"``.
    box : tuple of slice
        Bounding box of the changed pixels; empty slices where nothing changes.
    packed_mask, packed_before, packed_after : bytes
        Changed pixels within the box, each plane of the first axis in whole bytes,
        and their ids in C order.
    dtype : dtype
        Of the ids.
    """

    name: str
    box: Box
    packed_mask: bytes
    packed_before: bytes
    packed_after: bytes
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the bounding box."""
        return box_shape(self.box)

    @property
    def size(self) -> int:
        """Number of changed pixels."""
        return len(self.before)

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes: such an edit is no undo step."""
        return 0 in self.shape

    @property
    def nbytes(self) -> int:
        """Memory the edit takes."""
        return len(self.packed_mask) + len(self.packed_before) + len(self.packed_after)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Changed pixels, of the shape of the box."""
        return self._planes(self._bits())

    @property
    def before(self) -> NDArray[np.integer]:
        """Ids of the changed pixels before the edit, in C order."""
        return np.frombuffer(zlib.decompress(self.packed_before), self.dtype)

    @property
    def after(self) -> NDArray[np.integer]:
        """Ids of the changed pixels after the edit, in C order."""
        return np.frombuffer(zlib.decompress(self.packed_after), self.dtype)

    @property
    def indices(self) -> tuple[NDArray[np.intp], ...]:
        """Coordinates of the changed pixels in the labels, one array for each axis."""
        found = np.nonzero(self.mask)
        return tuple(i + s.start for i, s in zip(found, self.box, strict=True))

    def inverse(self) -> LabelEdit:
        """Return the edit that takes this one back."""
        return LabelEdit(
            self.name,
            self.box,
            self.packed_mask,
            self.packed_after,
            self.packed_before,
            self.dtype,
        )

    def apply(self, labels: Any) -> None:
        """Write the edit into labels (NumPy, zarr), slab by slab."""
        after = self.after
        for slab, mask, part in self._slabs(labels):
            if isinstance(labels, np.ndarray):
                labels[slab][mask] = after[part]
            else:
                block = np.array(labels[slab])
                block[mask] = after[part]
                labels[slab] = block

    def fits(self, labels: Any) -> bool:
        """Whether the labels hold what they held when the edit was made."""
        before = self.before
        return all(
            np.array_equal(np.asarray(labels[slab])[mask], before[part])
            for slab, mask, part in self._slabs(labels)
        )

    def _slabs(self, labels: Any) -> Iterator[tuple[Box, NDArray[np.bool_], slice]]:
        """Give changed slabs of the box, their masks, and where their ids begin."""
        if self.is_empty:
            return
        bits = self._bits()
        start = 0
        for slab in slabs(labels, self.box):
            first = self.box[0].start
            here = bits[slab[0].start - first : slab[0].stop - first]
            if here.any():
                mask = self._planes(here)
                count = int(np.count_nonzero(mask))
                yield slab, mask, slice(start, start + count)
                start += count

    def _bits(self) -> NDArray[np.uint8]:
        data = np.frombuffer(zlib.decompress(self.packed_mask), np.uint8)
        return data.reshape(self.shape[0], -(-prod(self.shape[1:]) // 8))

    def _planes(self, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
        count = prod(self.shape[1:])
        flat = np.unpackbits(bits, axis=1, count=count)
        return flat.view(bool).reshape(len(bits), *self.shape[1:])


def make_edit(
    name: str, start: Sequence[int], before: NDArray[Any], after: NDArray[Any]
) -> LabelEdit:
    """Return the edit between two states of a piece of the labels.

    Parameters
    ----------
    name : str
        What was done.
    start : sequence of int
        First index of the piece along each axis of the labels.
    before, after : ndarray of int, same shape
        The piece in both states.
    """
    piece = moved(tuple(slice(0, n) for n in before.shape), start)
    return join_edit(name, [(piece, before, after)], before.dtype, before.ndim)


def join_edit(
    name: str, changes: Iterable[Change], dtype: np.dtype[Any], ndim: int
) -> LabelEdit:
    """Return one edit for the changes of several pieces.

    Parameters
    ----------
    name : str
        What was done.
    changes : iterable of (box, before, after)
        Pieces in the order of the first axis, which do not overlap along it. They
        are asked for one by one, and only what changes is kept.
    dtype : dtype
        Of the labels.
    ndim : int
        Of the labels.
    """
    boxes: list[Box] = []
    masks: list[NDArray[np.bool_]] = []
    befores, afters = [np.empty(0, dtype)], [np.empty(0, dtype)]
    for piece, before, after in changes:
        changed = before != after
        tight = bounding_box(changed)
        if 0 in box_shape(tight):
            continue
        mask = changed[tight]
        boxes.append(moved(tight, [s.start for s in piece]))
        masks.append(mask)
        befores.append(before[tight][mask])
        afters.append(after[tight][mask].astype(dtype))
    box = _hull(boxes) if boxes else (slice(0, 0),) * ndim
    return LabelEdit(
        name=name,
        box=box,
        # Level 1: masks shrink twentyfold, and live edits cannot wait for more.
        packed_mask=zlib.compress(_packed_bits(box, boxes, masks), 1),
        packed_before=zlib.compress(np.concatenate(befores).tobytes(), 1),
        packed_after=zlib.compress(np.concatenate(afters).tobytes(), 1),
        dtype=dtype,
    )


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box around the true pixels; empty slices without any."""
    sides: list[slice] = []
    rest: NDArray[np.bool_] = mask
    for axis in range(mask.ndim):
        # The planes along one axis, joined, tell about all axes that follow.
        filled = np.flatnonzero(rest.any(axis=tuple(range(1, rest.ndim))))
        if not len(filled):
            return tuple(slice(0, 0) for _ in mask.shape)
        sides.append(slice(int(filled[0]), int(filled[-1]) + 1))
        if axis < mask.ndim - 1:
            rest = np.asarray(rest[sides[-1]].any(axis=0))
    return tuple(sides)


def _hull(boxes: Sequence[Box]) -> Box:
    return tuple(
        slice(min(s.start for s in sides), max(s.stop for s in sides))
        for sides in zip(*boxes, strict=True)
    )


def _packed_bits(
    box: Box, boxes: Sequence[Box], masks: Sequence[NDArray[np.bool_]]
) -> bytes:
    """Put masks of pieces into their common box, eight pixels to the byte."""
    shape = box_shape(box)
    bits = np.zeros((shape[0], -(-prod(shape[1:]) // 8)), np.uint8)
    for piece, mask in zip(boxes, masks, strict=True):
        here = moved(piece, [-s.start for s in box])
        plane = np.zeros((box_shape(here)[0], *shape[1:]), bool)
        plane[(slice(None), *here[1:])] = mask
        bits[here[0]] = np.packbits(plane.reshape(len(plane), -1), axis=1)
    return bits.tobytes()
