"""One change to a labels array and its inverse, stored compressed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[slice, ...]
"""Half-open region of an array: one slice with start and stop for each axis."""


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
        Changed pixels within the box, and their ids in C order.
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
        return tuple(s.stop - s.start for s in self.box)

    @cached_property
    def size(self) -> int:
        """Number of changed pixels."""
        return int(np.count_nonzero(self.mask))

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
        bits = np.frombuffer(zlib.decompress(self.packed_mask), np.uint8)
        count = int(np.prod(self.shape))
        return np.unpackbits(bits, count=count).astype(bool).reshape(self.shape)

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
        """Write the edit into labels (NumPy, zarr: read and written in the box)."""
        if self.is_empty:
            return
        block = np.array(labels[self.box])
        block[self.mask] = self.after
        labels[self.box] = block


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
    changed = before != after
    tight = bounding_box(changed)
    mask = changed[tight]
    return LabelEdit(
        name=name,
        box=tuple(
            slice(s.start + o, s.stop + o) for s, o in zip(tight, start, strict=True)
        ),
        # Level 1: masks shrink twentyfold, and live edits cannot wait for more.
        packed_mask=zlib.compress(np.packbits(mask).tobytes(), 1),
        packed_before=zlib.compress(before[tight][mask].tobytes(), 1),
        packed_after=zlib.compress(
            after[tight][mask].astype(before.dtype).tobytes(), 1
        ),
        dtype=before.dtype,
    )


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box around the true pixels; empty slices without any."""
    sides = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        first, last = (filled[0], filled[-1]) if len(filled) else (0, -1)
        sides.append(slice(int(first), int(last) + 1))
    return tuple(sides)
