"""Objects that go on in the next cell: found at the faces, joined over the volume.

Two cells see the voxels on both sides of the face between them. What they call the
same voxels is compared, so a pair of ids is found whatever cell was done first, and the
groups are the connected components of all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from napari_seg.imaging.linking import overlap_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_IOU = 0.25
"""Least overlap of an object with its part in the next plane, as in `match_planes`."""
_HALF = 0.5


@dataclass(frozen=True)
class Pairs:
    """Ids of two cells or planes and how many voxels they share."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    shared: NDArray[np.int64]

    @classmethod
    def none(cls) -> Pairs:
        """No pairs."""
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, empty)

    def moved(self, first: int, second: int) -> Pairs:
        """Return them with numbers added to the ids."""
        return Pairs(self.first + first, self.second + second, self.shared)


def join_pairs(parts: Sequence[Pairs]) -> Pairs:
    """Put pairs from several places together."""
    if not parts:
        return Pairs.none()
    names = ("first", "second", "shared")
    return Pairs(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def pair_faces(
    first: NDArray[np.integer],
    second: NDArray[np.integer],
    first_is_cut: NDArray[np.bool_],
    second_is_cut: NDArray[np.bool_],
) -> Pairs:
    """Find which objects of two cells are the same, from what both see at a face.

    Parameters
    ----------
    first, second : ndarray of int, same shape
        Local ids that the cells gave the voxels on both sides of the face.
    first_is_cut, second_is_cut : ndarray of bool, shape (N + 1,)
        By local id: whether the cell saw only a part of the object.

    Returns
    -------
    Pairs
        Objects seen whole are one if each covers most of the other. A part belongs to
        the object that covers most of it; of two parts one must be covered.
    """
    a, b, shared = overlap_pairs(first.astype(np.int32), second.astype(np.int32))
    if not a.size:
        return Pairs.none()
    area_a = np.bincount(first.ravel(), minlength=len(first_is_cut))[a]
    area_b = np.bincount(second.ravel(), minlength=len(second_is_cut))[b]
    is_most_a, is_most_b = shared > _HALF * area_a, shared > _HALF * area_b
    cut_a, cut_b = first_is_cut[a], second_is_cut[b]
    is_same = np.where(
        cut_a == cut_b,
        np.where(cut_a, is_most_a | is_most_b, is_most_a & is_most_b),
        np.where(cut_a, is_most_a, is_most_b),
    )
    return Pairs(a[is_same], b[is_same], shared[is_same])


def pair_planes(planes: NDArray[np.integer]) -> Pairs:
    """Count what the objects of neighbouring planes share.

    Parameters
    ----------
    planes : ndarray of int, shape (planes, rows, columns)
        Ids, of which none is in two planes.
    """
    parts = []
    for below, above in pairwise(planes):
        parts.append(
            Pairs(*overlap_pairs(below.astype(np.int32), above.astype(np.int32)))
        )
    return join_pairs(parts)


def components(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """Return the smallest id of the group of each of the ids 0..count - 1."""
    weights = np.ones(len(pairs.first), bool)
    graph = sparse.coo_array((weights, (pairs.first, pairs.second)), (count, count))
    _, group = csgraph.connected_components(graph, directed=False)
    smallest = np.full(int(group.max(initial=-1)) + 1, count, np.int64)
    np.minimum.at(smallest, group, np.arange(count))
    return smallest[group]


def link_planes(pairs: Pairs, areas: NDArray[np.int64]) -> Pairs:
    """Return the mutual best partners of neighbouring planes, as `match_planes` does.

    Parameters
    ----------
    pairs : Pairs
        Overlaps of the objects of neighbouring planes; a pair may come in parts.
    areas : ndarray of int64
        Of each object by id.
    """
    if not len(pairs.first):
        return pairs
    keys = np.stack([pairs.first, pairs.second], axis=1)
    unique, place = np.unique(keys, axis=0, return_inverse=True)
    shared = np.bincount(place.ravel(), pairs.shared).astype(np.int64)
    a, b = unique[:, 0], unique[:, 1]
    iou = shared / (areas[a] + areas[b] - shared)
    order = np.argsort(-iou, kind="stable")
    a, b, iou, shared = a[order], b[order], iou[order], shared[order]
    is_best_a, is_best_b = np.zeros(len(a), bool), np.zeros(len(b), bool)
    is_best_a[np.unique(a, return_index=True)[1]] = True
    is_best_b[np.unique(b, return_index=True)[1]] = True
    keep = is_best_a & is_best_b & (iou >= MIN_IOU)
    return Pairs(a[keep], b[keep], shared[keep])


@dataclass(frozen=True)
class Objects:
    """All objects of all cells, in the order of the cells.

    Parameters
    ----------
    sizes : ndarray of int64
        Voxels in the cell.
    is_at_face : ndarray of bool
        Whether the object reaches a neighbouring cell.
    """

    sizes: NDArray[np.int64]
    is_at_face: NDArray[np.bool_]


def number_objects(
    objects: Objects, faces: Pairs, planes: Pairs | None, smallest: float
) -> tuple[NDArray[np.int64], int]:
    """Give every object of every cell its final number.

    Parameters
    ----------
    objects : Objects
    faces : Pairs
        From `pair_faces`, ids counted over all cells.
    planes : Pairs or None
        From `pair_planes` likewise; None where planes are not linked.
    smallest : float
        Joined objects with fewer voxels are dropped, of what lies at a face: all else
        was measured whole.

    Returns
    -------
    numbers : ndarray of int64
        1..N by object, 0 where it is dropped.
    count : int
        N.
    """
    count = len(objects.sizes)
    roots = components(count, faces)
    areas = np.bincount(roots, objects.sizes, minlength=count).astype(np.int64)
    is_at_face = np.zeros(count, bool)
    is_at_face[roots[objects.is_at_face]] = True
    is_kept = ~((areas < smallest) & is_at_face)[roots] if count else roots > 0
    if planes is not None:
        moved = Pairs(roots[planes.first], roots[planes.second], planes.shared)
        alive = is_kept[moved.first] & is_kept[moved.second]
        moved = Pairs(moved.first[alive], moved.second[alive], moved.shared[alive])
        links = link_planes(moved, areas)
        roots = components(count, join_pairs([faces, links]))
    numbers = np.zeros(count, np.int64)
    unique, dense = np.unique(roots[is_kept], return_inverse=True)
    numbers[is_kept] = dense + 1
    return numbers, len(unique)
