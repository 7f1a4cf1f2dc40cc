"""Go through a large labels array piece by piece, whatever kind of array it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import LabelsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[slice, ...]
"""Half-open region of an array: one slice with start and stop for each axis."""

CACHED_VOXELS = 2**18
"""Pieces of arrays in memory: what is looked at twice should still be in the cache."""

STORED_VOXELS = 2**24
"""Pieces of arrays on disk: as many chunks as this allows are read at once."""

LARGEST_TABLE = 2**24
"""Ids below this are counted in a table, larger ones are sorted."""


def whole(labels: Any) -> Box:
    """Return the box that holds a whole array."""
    return tuple(slice(0, int(n)) for n in labels.shape)


def slabs(labels: Any, box: Box) -> Iterator[Box]:
    """Cut a box into slabs along its first axis, in order.

    Slabs of a chunked array (zarr) end where its chunks end, if memory allows.
    """
    if 0 in box_shape(box):
        return
    first, rest = box[0], box[1:]
    area = prod(box_shape(rest))
    chunks = getattr(labels, "chunks", None)
    if chunks:
        depth = int(np.max(chunks[0]))
        step = max(1, STORED_VOXELS // area // depth * depth or STORED_VOXELS // area)
        start = first.start - first.start % depth if step >= depth else first.start
    else:
        step, start = max(1, CACHED_VOXELS // area), first.start
    for low in range(start, first.stop, step):
        yield (slice(max(low, first.start), min(low + step, first.stop)), *rest)


def box_shape(box: Sequence[slice]) -> tuple[int, ...]:
    """Return the lengths of a box's sides."""
    return tuple(s.stop - s.start for s in box)


def common_box(a: Box, b: Box) -> Box | None:
    """Return where two boxes overlap, or None."""
    both = tuple(
        slice(max(s.start, t.start), min(s.stop, t.stop))
        for s, t in zip(a, b, strict=True)
    )
    return both if all(s.stop > s.start for s in both) else None


def moved(box: Box, start: Sequence[int]) -> Box:
    """Return a box within a piece as a box of the array the piece begins in."""
    return tuple(
        slice(s.start + int(o), s.stop + int(o))
        for s, o in zip(box, start, strict=True)
    )


def check_integers(labels: Any) -> None:
    """Raise unless the array holds integers."""
    dtype = np.dtype(labels.dtype)
    if dtype.kind not in "iu":
        raise LabelsError(
            "Labels must be integers", str(dtype), "Convert them to int32."
        )


def present_ids(ids: NDArray[Any]) -> list[int]:
    """Return the ids above 0 in a piece of labels, in ascending order."""
    if not ids.size:
        return []
    top = int(ids.max())
    if top >= LARGEST_TABLE or int(ids.min()) < 0:
        found = np.unique(ids)
        return [int(i) for i in found[found > 0]]
    seen = np.zeros(top + 1, bool)
    seen[ids] = True
    seen[0] = False
    return [int(i) for i in np.flatnonzero(seen)]
