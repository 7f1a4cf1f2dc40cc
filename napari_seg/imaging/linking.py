"""Ids that mean the same object in neighbouring planes, and dense numbering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]
_ROWS = 512
_LARGEST_TABLE = 4_000_000


class UnionFind:
    """Groups of ids; the smallest id of a group stands for it."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def find(self, item: int) -> int:
        """Return the id that stands for the group of `item`."""
        root = item
        while (parent := self._parent.get(root, root)) != root:
            root = parent
        while (parent := self._parent.get(item, item)) != root:
            self._parent[item] = root
            item = parent
        return root

    def union(self, items: Iterable[int]) -> int:
        """Make one group of the groups of all items, and return its smallest id."""
        roots = {self.find(item) for item in items}
        smallest = min(roots)
        for root in roots - {smallest}:
            self._parent[root] = smallest
        return smallest

    def members(self) -> dict[int, int]:
        """Return every id that another stands for, with that other."""
        found = {item: self.find(item) for item in list(self._parent)}
        return {item: root for item, root in found.items() if item != root}

    def roots(self, labels: Labels) -> Labels:
        """Return the labels with each id replaced by the one that stands for it."""
        changes = self.members()
        if not changes:
            return labels
        lut = np.arange(max(int(labels.max(initial=0)), max(changes)) + 1)
        lut[list(changes)] = list(changes.values())
        return lut.astype(np.int32)[labels]


def overlap_pairs(
    first: Labels, second: Labels
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels shared by each pair of objects.

    Parameters
    ----------
    first, second : ndarray of int32, same shape
        Ids; 0 is background.

    Returns
    -------
    first_ids, second_ids, counts : ndarray of int64
        One entry per pair that shares a pixel.
    """
    both = (first > 0) & (second > 0)
    a, b = first[both].astype(np.int64), second[both].astype(np.int64)
    if a.size == 0:
        empty = np.zeros(0, np.int64)
        return empty, empty, empty
    low_a, low_b = int(a.min()), int(b.min())
    width = int(b.max()) - low_b + 1
    key = (a - low_a) * width + (b - low_b)
    if (int(a.max()) - low_a + 1) * width <= _LARGEST_TABLE:
        table = np.bincount(key)
        keys = np.flatnonzero(table)
        counts = table[keys]
    else:
        keys, counts = np.unique(key, return_counts=True)
    return keys // width + low_a, keys % width + low_b, counts.astype(np.int64)


def match_planes(
    first: Labels, second: Labels, *, min_iou: float = 0.25
) -> list[tuple[int, int]]:
    """Pair the objects of two planes that overlap each other best.

    Parameters
    ----------
    first, second : ndarray of int32, shape (rows, columns)
        Ids of two neighbouring planes.
    min_iou : float, optional
        Least intersection over union of a pair.

    Returns
    -------
    list of (int, int)
        Mutual best partners; no id occurs twice on either side.
    """
    a, b, shared = overlap_pairs(first, second)
    if a.size == 0:
        return []
    areas_a, areas_b = _areas(first), _areas(second)
    iou = shared / (areas_a[a] + areas_b[b] - shared)
    order = np.argsort(-iou, kind="stable")
    a, b, iou = a[order], b[order], iou[order]
    is_best_a = np.zeros(len(a), bool)
    is_best_b = np.zeros(len(b), bool)
    is_best_a[np.unique(a, return_index=True)[1]] = True
    is_best_b[np.unique(b, return_index=True)[1]] = True
    keep = is_best_a & is_best_b & (iou >= min_iou)
    return list(zip(a[keep].tolist(), b[keep].tolist(), strict=True))


def _areas(labels: Labels) -> NDArray[np.int64]:
    return np.bincount(labels.ravel()).astype(np.int64)


def present_ids(planes: Iterable[Labels]) -> NDArray[np.int64]:
    """Return the ids above 0 that occur, in ascending order, without a full copy."""
    seen = np.zeros(1, bool)
    for plane in planes:
        for band in _bands(plane):
            top = int(band.max(initial=0))
            if top >= len(seen):
                seen = np.concatenate([seen, np.zeros(top + 1 - len(seen), bool)])
            seen[band] = True
    seen[0] = False
    return np.flatnonzero(seen)


def dense_lut(ids: NDArray[np.int64], groups: UnionFind) -> NDArray[np.int32]:
    """Return the table that turns ids into 1..N, one number per group.

    Parameters
    ----------
    ids : ndarray of int64
        The ids that occur, ascending.
    groups : UnionFind
        Which of them are one object.

    Returns
    -------
    ndarray of int32
        ``table[labels]`` are the new labels; 0 stays 0.
    """
    table = np.zeros(int(ids[-1]) + 1 if ids.size else 1, np.int32)
    if ids.size:
        roots = np.array([groups.find(i) for i in ids.tolist()])
        _, dense = np.unique(roots, return_inverse=True)
        table[ids] = dense + 1
    return table


def is_identity(table: NDArray[np.int32], ids: NDArray[np.int64]) -> bool:
    """Whether the table leaves the ids as they are."""
    return bool(np.array_equal(table[ids], ids))


def renumber(labels: Labels, table: NDArray[np.int32]) -> None:
    """Replace ids by `table` in place, a band of rows at a time."""
    for band in _bands(labels):
        band[...] = table[band]


def _bands(plane: Labels) -> Iterator[Labels]:
    for start in range(0, plane.shape[0], _ROWS):
        yield plane[start : start + _ROWS]
