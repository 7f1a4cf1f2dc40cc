"""Which boxes lie close together, and colours that tell neighbours apart."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 256
"""Boxes compared with all others at a time; bounds the memory."""


def box_neighbours(
    low: NDArray[np.float64], high: NDArray[np.float64], reach: float
) -> list[list[int]]:
    """Find the boxes within a distance of each box.

    Parameters
    ----------
    low, high : ndarray of float, shape (N, ndim)
        Smallest and largest corner of each box.
    reach : float
        Largest Euclidean distance between two boxes that makes them neighbours.

    Returns
    -------
    list of list of int
        Neighbours of box i, without i.
    """
    order = np.argsort(low[:, 0], kind="stable")
    low, high = low[order], high[order]
    neighbours: list[list[int]] = [[] for _ in order]
    for start in range(0, len(order), CHUNK):
        part = slice(start, start + CHUNK)
        # Sorted by the first axis: later boxes beyond the chunk's reach are far.
        stop = int(np.searchsorted(low[:, 0], high[part, 0].max() + reach, "right"))
        rest = slice(start, stop)
        gap = np.maximum(
            low[None, rest] - high[part, None], low[part, None] - high[None, rest]
        ).clip(min=0)
        close = np.einsum("ijk,ijk->ij", gap, gap) <= reach * reach
        for i, j in zip(*np.nonzero(np.triu(close, 1)), strict=True):
            first, second = int(order[start + i]), int(order[start + j])
            neighbours[first].append(second)
            neighbours[second].append(first)
    return neighbours


def colour_greedily(neighbours: list[list[int]]) -> NDArray[np.int64]:
    """Colour a graph so that neighbours differ, with few colours.

    Parameters
    ----------
    neighbours : list of list of int
        Adjacent nodes of each node.

    Returns
    -------
    ndarray of int64, shape (N,)
        Colours 0, 1, 2, ...

    References
    ----------
    .. [1] Brelaz, "New methods to color the vertices of a graph", CACM 1979 (DSATUR):
       always the node whose neighbours show most colours; exact on bipartite graphs.
    """
    colour = np.full(len(neighbours), -1, np.int64)
    seen: list[set[int]] = [set() for _ in neighbours]
    queue = [(0, -len(near), node) for node, near in enumerate(neighbours)]
    heapq.heapify(queue)
    while queue:
        saturation, _, node = heapq.heappop(queue)
        if colour[node] >= 0 or -saturation != len(seen[node]):
            continue  # an entry from before the node's neighbours were coloured
        chosen = next(c for c in range(len(neighbours)) if c not in seen[node])
        colour[node] = chosen
        for near in neighbours[node]:
            if colour[near] < 0 and chosen not in seen[near]:
                seen[near].add(chosen)
                heapq.heappush(queue, (-len(seen[near]), -len(neighbours[near]), near))
    return colour
