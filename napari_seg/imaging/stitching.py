"""Instances decoded block by block, put together as if decoded at once.

Each block is decoded with a halo of neighbouring pixels. An object belongs to the
one block whose core holds the centre of its bounding box, so with a halo larger than
half an object every object is seen whole by its owner, and counted once. Objects too
large for that are painted core by core and joined where the blocks' views overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_seg.imaging.linking import UnionFind, overlap_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

Window = tuple[slice, ...]
_MAJORITY = 0.5


@dataclass(frozen=True)
class Block:
    """One piece of a plane or volume that is decoded at a time.

    Parameters
    ----------
    index : int
        Position in the plan, in raster order.
    core : tuple of slice
        ([planes,] rows, columns) this block owns; cores tile the whole.
    read : tuple of slice
        The core and its halo, clipped to the whole.
    """

    index: int
    core: Window
    read: Window


def _edges(size: int, core_px: int) -> list[int]:
    count = max(1, -(-size // core_px))
    return [i * size // count for i in range(count + 1)]


Sides = int | Sequence[int]
"""One length for all axes, or one for each."""


def plan_blocks(shape: Sequence[int], core_px: Sides, halo_px: Sides) -> list[Block]:
    """Divide a plane or a volume into blocks of about equal size.

    Parameters
    ----------
    shape : sequence of int
        ([Planes,] rows, columns).
    core_px, halo_px : int or sequence of int
        Longest side of a core, and what is seen beyond it.

    Returns
    -------
    list of Block
        In raster order.
    """
    sides = zip(shape, _each(core_px, shape), _each(halo_px, shape), strict=True)
    spans = [
        [
            (slice(a, b), slice(max(0, a - halo), min(int(size), b + halo)))
            for a, b in pairwise(_edges(int(size), core))
        ]
        for size, core, halo in sides
    ]
    return [
        Block(i, tuple(core for core, _ in parts), tuple(read for _, read in parts))
        for i, parts in enumerate(product(*spans))
    ]


def _each(value: Sides, shape: Sequence[int]) -> Sequence[int]:
    return [value] * len(shape) if isinstance(value, int) else value


class Stitcher:
    """Collects the labels of blocks, in any order, into one plane or volume.

    Parameters
    ----------
    labels : ndarray of int32, shape ([planes,] rows, columns)
        Written in place; zero at the start.
    blocks : list of Block
        From `plan_blocks`.
    first_id : int, optional
        Smallest id to give.
    groups : UnionFind, optional
        Receives the ids that turn out to be parts of one object.

    Attributes
    ----------
    next_id : int
        One above the largest id given so far.
    given : ndarray of int32, shape (N + 1,)
        What the objects 1..N of the block added last were called, 0 for none.
    """

    def __init__(
        self,
        labels: NDArray[np.int32],
        blocks: list[Block],
        first_id: int = 1,
        groups: UnionFind | None = None,
    ) -> None:
        self.labels = labels
        self.next_id = first_id
        self.given = np.zeros(1, np.int32)
        self._edges = [
            sorted({b.core[axis].start for b in blocks}) for axis in range(labels.ndim)
        ]
        self._is_done = np.zeros(len(blocks), bool)
        self._groups = UnionFind() if groups is None else groups
        self._open_ids: set[int] = set()

    def add(self, block: Block, local: NDArray[np.int32]) -> Window | None:
        """Paint the objects of a block that belong to it.

        Parameters
        ----------
        block : Block
            Which block.
        local : ndarray of int32
            Labels of ``block.read``, ids 1..N.

        Returns
        -------
        tuple of slice or None
            ([Planes,] rows, columns) that changed.
        """
        objects = _measure(local, block, self.labels.shape)
        is_own = self._owners(objects.anchors) == block.index
        is_late = self._is_done[self._owners(objects.anchors)]
        is_wanted = objects.is_large | (~objects.is_cut & (is_own | is_late))
        self._is_done[block.index] = True
        self.given = np.zeros(len(is_wanted), np.int32)
        if not is_wanted[1:].any():
            return None
        ids = self.given = self._decide(block, local, objects.is_large, is_wanted)
        return self._paint(block, local, ids, objects.is_large)

    def _owners(self, anchors: NDArray[np.int64]) -> NDArray[np.int64]:
        owners = np.zeros(len(anchors), np.int64)
        for axis, edges in enumerate(self._edges):
            place = np.searchsorted(edges, anchors[:, axis], side="right") - 1
            owners = owners * len(edges) + place
        return owners

    def _decide(
        self,
        block: Block,
        local: NDArray[np.int32],
        is_large: NDArray[np.bool_],
        is_wanted: NDArray[np.bool_],
    ) -> NDArray[np.int32]:
        """Give each wanted object a new id, that of its other part, or none."""
        claimed = self._groups.roots(self.labels[block.read])
        count = len(is_wanted)
        area = np.bincount(local.ravel(), minlength=count)
        core = _inside(block.core, block.read)
        core_area = np.bincount(local[core].ravel(), minlength=count)
        taken = np.bincount(local[claimed > 0], minlength=count)
        core_taken = np.bincount(local[core][claimed[core] > 0], minlength=count)
        is_free = np.where(
            is_large,
            core_taken < _MAJORITY * core_area,
            taken <= _MAJORITY * area,
        )
        ids = np.zeros(count, np.int32)
        partners = self._partners(local, claimed, is_large, is_wanted, taken)
        for i in (np.flatnonzero(is_wanted[1:]) + 1).tolist():
            if i in partners:
                ids[i] = self._groups.union(partners[i])
                if is_large[i]:
                    self._open_ids.add(int(ids[i]))
            elif is_free[i]:
                ids[i] = self.next_id
                if is_large[i]:
                    self._open_ids.add(self.next_id)
                self.next_id += 1
        return ids

    def _partners(
        self,
        local: NDArray[np.int32],
        claimed: NDArray[np.int32],
        is_large: NDArray[np.bool_],
        is_wanted: NDArray[np.bool_],
        taken: NDArray[np.int64],
    ) -> dict[int, list[int]]:
        """Find painted objects that are another view of an object of this block."""
        open_ids = {self._groups.find(i) for i in self._open_ids}
        if not open_ids and not is_large[is_wanted].any():
            return {}
        partners: dict[int, list[int]] = {}
        mine, theirs, shared = overlap_pairs(local, claimed)
        present, areas = np.unique(claimed, return_counts=True)
        visible = dict(zip(present.tolist(), areas.tolist(), strict=True))
        for i, other, n in zip(
            mine.tolist(), theirs.tolist(), shared.tolist(), strict=True
        ):
            is_open = other in open_ids
            if not is_wanted[i] or not (is_large[i] or is_open):
                continue
            is_same = n >= _MAJORITY * visible[other]
            if not (is_large[i] and is_open):
                is_same &= n >= _MAJORITY * taken[i]
            if is_same:
                partners.setdefault(i, []).append(other)
        return partners

    def _paint(
        self,
        block: Block,
        local: NDArray[np.int32],
        ids: NDArray[np.int32],
        is_large: NDArray[np.bool_],
    ) -> Window | None:
        target = self.labels[block.read]
        core = _inside(block.core, block.read)
        painted = np.where(is_large, 0, ids)[local]
        painted[core] = ids[local[core]]
        painted[target > 0] = 0
        is_new = painted > 0
        np.copyto(target, painted, where=is_new)
        return _bounds(is_new, block.read)


@dataclass(frozen=True)
class _Objects:
    """One entry per local id, entry 0 unused."""

    anchors: NDArray[np.int64]
    is_cut: NDArray[np.bool_]
    is_large: NDArray[np.bool_]


def _measure(
    local: NDArray[np.int32], block: Block, shape: tuple[int, ...]
) -> _Objects:
    boxes = ndimage.find_objects(local)
    count = len(boxes) + 1
    anchors = np.zeros((count, local.ndim), np.int64)
    extent = np.zeros((count, local.ndim), np.int64)
    for i, box in enumerate(boxes, start=1):
        if box is not None:
            extent[i] = [s.stop - s.start for s in box]
            anchors[i] = [(s.start + s.stop) // 2 for s in box]
    anchors += [s.start for s in block.read]
    is_cut = np.zeros(count, bool)
    for axis, (read, size) in enumerate(zip(block.read, shape, strict=True)):
        if read.start > 0:
            is_cut[np.take(local, 0, axis)] = True
        if read.stop < size:
            is_cut[np.take(local, -1, axis)] = True
    core_px = np.bincount(
        local[_inside(block.core, block.read)].ravel(), minlength=count
    )
    # Beyond twice the halo the owner of the centre need not see all of the object.
    halo = np.array(
        [
            max(c.start - r.start, r.stop - c.stop)
            for c, r in zip(block.core, block.read, strict=True)
        ]
    )
    # Along an axis that is not divided everything is seen whole.
    is_long = ((extent > 2 * halo) & (halo > 0)).any(axis=1)
    is_large = (core_px > 0) & (is_cut | is_long)
    is_large[0] = is_cut[0] = False
    return _Objects(anchors, is_cut, is_large)


def _inside(inner: Window, outer: Window) -> Window:
    """Return the inner window in the coordinates of the outer one."""
    return tuple(
        slice(a.start - b.start, a.stop - b.start)
        for a, b in zip(inner, outer, strict=True)
    )


def _bounds(mask: NDArray[np.bool_], read: Window) -> Window | None:
    if not mask.any():
        return None
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    return tuple(
        slice(part.start + side.start, part.start + side.stop)
        for part, side in zip(read, box, strict=True)
    )
