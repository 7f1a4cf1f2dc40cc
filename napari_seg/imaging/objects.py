"""Which objects there are in labels, and where, without a copy of the labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import bounding_box
from napari_seg.imaging.slabs import (
    LARGEST_TABLE,
    Box,
    check_integers,
    moved,
    present_ids,
    slabs,
    whole,
)
from napari_seg.imaging.stored import StoredLabels, places

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_REACH = 24
"""Half the side of the box in which an object is sought first, in voxels."""

FEW = 4
"""Up to so many ids are compared one by one, which is faster than a table."""


def next_free_id(labels: Any) -> int:
    """Return the id after the highest one; a free gap if the dtype ends there."""
    return next_free_ids(labels, 1)[0]


def next_free_ids(labels: Any, count: int) -> list[int]:
    """Return the ids after the highest one; free gaps where the dtype ends."""
    check_integers(labels)
    if not count:
        return []
    dtype = np.dtype(labels.dtype)
    last = int(np.iinfo(dtype).max)
    highest = _highest(labels)
    first = max(highest, 0) + 1
    free = list(range(first, min(first + count - 1, last) + 1))
    if len(free) < count:
        used = ids_in(labels, whole(labels))
        gaps = np.setdiff1d(np.arange(1, len(used) + count + 1), used)
        free += [int(i) for i in gaps[gaps < first][: count - len(free)]]
    if len(free) < count:
        raise LabelsError(
            "Every id of the labels is taken",
            f"{dtype} labels with {len(used)} objects",
            "Convert the labels to int32.",
        )
    return free


def _highest(labels: Any) -> int:
    if isinstance(labels, StoredLabels):
        return labels.highest()
    parts = slabs(labels, whole(labels))
    return max((int(np.max(labels[part])) for part in parts), default=0)


def object_box(
    labels: Any,
    object_id: int,
    within: Box | None = None,
    near: Sequence[int] | None = None,
) -> Box:
    """Return the bounding box of an object; empty slices if it is not there.

    Parameters
    ----------
    labels : array of int
    object_id : int
    within : tuple of slice, optional
        Where to look, e.g. one plane of a volume; by default everywhere.
    near : sequence of int, optional
        A voxel of the object. It is then sought outwards from there, which does not
        depend on the size of the labels, but misses parts that lie elsewhere.

    Returns
    -------
    tuple of slice
    """
    limits = within or whole(labels)
    if near is not None:
        box = _box_from(labels, object_id, limits, near)
        if box is not None:
            return box
    low = np.full(len(limits), np.iinfo(np.int64).max)
    high = np.zeros(len(limits), np.int64)
    for slab in places(labels, limits, [object_id]):
        hit = np.asarray(labels[slab]) == object_id
        if hit.any():
            found = moved(bounding_box(hit), [s.start for s in slab])
            low = np.minimum(low, [s.start for s in found])
            high = np.maximum(high, [s.stop for s in found])
    if not high.any():
        return tuple(slice(0, 0) for _ in limits)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def ids_in(labels: Any, where: Box | NDArray[np.intp] | Sequence[Any]) -> list[int]:
    """Return the ids above 0 in a box or at some points, in ascending order.

    Parameters
    ----------
    labels : array of int
    where : tuple of slice, or array_like of int, shape (N, ndim)
        A box, or points inside the labels.
    """
    if isinstance(where, tuple) and all(isinstance(s, slice) for s in where):
        seen: set[int] = set()
        for slab in places(labels, where):
            seen.update(present_ids(np.asarray(labels[slab])))
        return sorted(seen)
    points = np.asarray(where, np.intp).reshape(-1, len(labels.shape))
    if not len(points):
        return []
    low = points.min(axis=0)
    box = tuple(
        slice(int(a), int(b) + 1) for a, b in zip(low, points.max(axis=0), strict=True)
    )
    block = np.asarray(labels[box])
    return sorted(present_ids(block[tuple((points - low).T)]))


def check_unlocked(ids: Iterable[int], locked: Iterable[int]) -> None:
    """Raise if an edit is to change an object that is locked."""
    clash = sorted(set(ids) & set(locked))
    if clash:
        raise LabelsError(
            "A locked object cannot be changed",
            ", ".join(f"object {i}" for i in clash),
            "Unlock it first.",
        )


def is_any_of(block: NDArray[Any], ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell for every voxel whether its id is among some ids."""
    if len(ids) > FEW:
        top = int(ids.max())
        if top >= LARGEST_TABLE:
            return np.isin(block, ids)
        # Read as unsigned numbers, ids below 0 are beyond the table, too.
        plain = block.view(f"u{block.itemsize}") if block.dtype.kind == "i" else block
        beyond = min(top + 1, int(np.iinfo(plain.dtype).max))
        table = np.zeros(beyond + 1, bool)
        table[ids] = True
        return table[np.minimum(plain, plain.dtype.type(beyond))]
    hit = np.zeros(block.shape, bool)
    for object_id in ids:
        hit |= block == object_id
    return hit


def _box_from(
    labels: Any, object_id: int, limits: Box, near: Sequence[int]
) -> Box | None:
    """Return the box of the object around a voxel, None if that is not of the object.

    The box grows on the sides that the object touches, doubling its length.
    """
    inside = all(s.start <= p < s.stop for s, p in zip(limits, near, strict=True))
    at = tuple(slice(int(p), int(p) + 1) for p in near)
    if not inside or np.asarray(labels[at]).item() != object_id:
        return None
    box = _clipped([(int(p) - FIRST_REACH, int(p) + FIRST_REACH) for p in near], limits)
    while True:
        tight = bounding_box(np.asarray(labels[box]) == object_id)
        found = moved(tight, [s.start for s in box])
        sides = []
        for b, f in zip(box, found, strict=True):
            reach = b.stop - b.start
            low = b.start - reach if f.start == b.start else b.start
            high = b.stop + reach if f.stop == b.stop else b.stop
            sides.append((low, high))
        larger = _clipped(sides, limits)
        if larger == box:
            return found
        box = larger


def _clipped(sides: Sequence[tuple[int, int]], limits: Box) -> Box:
    return tuple(
        slice(max(low, s.start), min(high, s.stop))
        for (low, high), s in zip(sides, limits, strict=True)
    )
