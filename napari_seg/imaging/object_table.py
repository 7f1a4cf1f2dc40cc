"""Area, place and mean value of all objects of a plane, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.linking import overlap_pairs
from napari_seg.imaging.objects import ids_in
from napari_seg.imaging.slabs import LARGEST_TABLE, slabs, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ObjectTable:
    """One row for each of N objects, in the order of their ids."""

    ids: NDArray[np.int64]
    """Shape (N,)."""
    areas: NDArray[np.int64]
    """Pixels, shape (N,)."""
    centres: NDArray[np.float64]
    """Mean row and column, shape (N, 2)."""
    boxes: NDArray[np.int64]
    """Half-open (y0, x0, y1, x1), shape (N, 4)."""
    values: NDArray[np.float64]
    """Mean value of the pixels, shape (N,); 0 without values."""


def object_table(
    labels: NDArray[np.integer], values: NDArray[np.floating] | None = None
) -> ObjectTable:
    """Measure all objects of a plane.

    Parameters
    ----------
    labels : ndarray of int, shape (rows, columns)
        Ids; 0 and less is background.
    values : ndarray of float, shape (rows, columns), optional
        What to take the mean of.

    Returns
    -------
    ObjectTable

    Notes
    -----
    No call of NumPy takes longer than a band of the plane: some of them hold the
    interpreter lock, and a window shall go on meanwhile.
    """
    ids = np.array(ids_in(labels, whole(labels)), np.int64)
    count = len(ids)
    number = _numbers(ids)
    sums = np.zeros((4, count + 1))
    low = np.full((2, count + 1), np.iinfo(np.int64).max)
    high = np.zeros((2, count + 1), np.int64)
    for band in slabs(labels, whole(labels)):
        n = number(labels[band]).ravel()
        places = [
            np.broadcast_to(g, labels[band].shape).ravel()
            for g in np.ogrid[band[0].start : band[0].stop, 0 : labels.shape[1]]
        ]
        weights = [None, *places]
        weights += [] if values is None else [values[band].ravel()]
        for row, weight in enumerate(weights):
            sums[row] += np.bincount(n, weight, count + 1)
        _extend(low, high, n, places)
    areas = np.maximum(sums[0, 1:], 1)
    return ObjectTable(
        ids,
        sums[0, 1:].astype(np.int64),
        (sums[1:3, 1:] / areas).T,
        np.concatenate([low[:, 1:], high[:, 1:]]).T,
        sums[3, 1:] / areas,
    )


def best_overlaps(
    labels: NDArray[Any], others: NDArray[Any]
) -> tuple[dict[int, float], dict[int, float]]:
    """Find how well each object is seen in other labels of the same plane.

    Parameters
    ----------
    labels, others : ndarray of int, shape (rows, columns)

    Returns
    -------
    own, foreign : dict of int to float
        Best intersection over union with an object of the other side, for each
        object of `labels` and of `others`.
    """
    tables = object_table(labels), object_table(others)
    shared: dict[tuple[int, int], int] = {}
    for band in slabs(labels, whole(labels)):
        pairs = overlap_pairs(labels[band], others[band])
        for a, b, count in zip(*(column.tolist() for column in pairs), strict=True):
            shared[a, b] = shared.get((a, b), 0) + count
    areas = [dict(zip(t.ids.tolist(), t.areas.tolist(), strict=True)) for t in tables]
    best = tuple(dict.fromkeys(side, 0.0) for side in areas)
    for pair, both in shared.items():
        iou = both / (areas[0][pair[0]] + areas[1][pair[1]] - both)
        for side, object_id in zip(best, pair, strict=True):
            side[object_id] = max(side[object_id], iou)
    return best[0], best[1]


def _numbers(ids: NDArray[np.int64]) -> Callable[[NDArray[Any]], NDArray[np.int64]]:
    """Return what turns ids into 1..N and all else into 0."""
    top = int(ids[-1]) if len(ids) else 0
    if top < LARGEST_TABLE:
        table = np.zeros(top + 1, np.int64)
        table[ids] = np.arange(1, len(ids) + 1)
        return lambda band: table[np.maximum(band, 0)]

    def search(band: NDArray[Any]) -> NDArray[np.int64]:
        return np.where(band > 0, np.searchsorted(ids, band) + 1, 0)

    return search


def _extend(
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    n: NDArray[np.int64],
    places: list[NDArray[np.int64]],
) -> None:
    """Let the boxes reach over a band as well."""
    there = np.flatnonzero(n)
    for axis, place in enumerate(places):
        np.minimum.at(low[axis], n[there], place[there])
        np.maximum.at(high[axis], n[there], place[there] + 1)
