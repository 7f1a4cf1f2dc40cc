"""Which of the possible links of a film are made: the assignment of laptrack.

Linear assignment in two steps, from frame to frame and then of the loose ends, after
Jaqaman et al., Robust single-particle tracking in live-cell time-lapse sequences,
Nature Methods 5 (2008), doi:10.1038/nmeth.1237.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from napari_seg.errors import LabelsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.link_costs import Pairs
    from napari_seg.imaging.tracks import Node

INSTALL = 'pip install "napari-seg[track]"'
_LONE = 1.05
"""Cost of an object without a partner: a little more than the worst possible link."""
_IMPOSSIBLE = 2.0
Edge = tuple["Node", "Node"]


def require_laptrack() -> None:
    """Refuse before the work what could not be done at its end.

    Raises
    ------
    LabelsError
        If laptrack is not installed.
    """
    if importlib.util.find_spec("laptrack") is None:
        raise LabelsError(
            "Linking over time needs laptrack",
            "not installed",
            f"Install it with: {INSTALL}",
        )


def assign(pairs: Pairs, n_first: int, n_second: int) -> NDArray[np.intp]:
    """Choose the links between two frames that cost least all together.

    Parameters
    ----------
    pairs : Pairs
        The possible ones.
    n_first, n_second : int
        Number of objects of the two frames.

    Returns
    -------
    ndarray of int, shape (links, 2)
        Rows in the first and in the second frame, each at most once.
    """
    lone = _without_rival(pairs, n_first, n_second)
    clear = np.stack([pairs.first[lone], pairs.second[lone]], axis=1)
    a, a_rows = np.unique(pairs.first[~lone], return_inverse=True)
    b, b_rows = np.unique(pairs.second[~lone], return_inverse=True)
    if not len(a):
        return clear
    prices = np.full((len(a), len(b)), _IMPOSSIBLE)
    prices[a_rows, b_rows] = pairs.costs[~lone]
    table = prices.tolist()  # item by item, a list is faster than an array
    tracker = _tracker(lambda u, v: table[int(u[0])][int(v[0])], 1.0)
    found = tracker.predict([_column(len(a)), _column(len(b))]).edges()
    rows = np.array([(i, j) for (_, i), (_, j) in found], np.intp).reshape(-1, 2)
    return np.concatenate([clear, np.stack([a[rows[:, 0]], b[rows[:, 1]]], axis=1)])


def join_ends(
    links: Sequence[Edge],
    gaps: dict[Edge, float],
    divisions: dict[Edge, float],
    longest_gap: int,
) -> list[Edge]:
    """Join tracks over gaps, and daughters with their mothers, at least cost together.

    Parameters
    ----------
    links : sequence of (node, node)
        Links from frame to frame; a node is a frame and a row in it.
    gaps, divisions : dict of (node, node) to float
        What each possible further link costs.
    longest_gap : int
        Frames that an object may be missing.

    Returns
    -------
    list of (node, node)
        All links, earlier node first; a node with two later ones divides.
    """
    if not gaps and not divisions:
        return list(links)
    # Of a track only the nodes count at which something may be joined, and its ends.
    spans = _spans(links, {node for edge in (*gaps, *divisions) for node in edge})
    kept = sorted({node for span in spans for node in span})
    numbers = {node: number for number, node in enumerate(kept)}
    coordinates: list[list[list[float]]] = [[] for _ in range(kept[-1][0] + 1)]
    places: dict[Node, Node] = {}
    for node in kept:
        places[node] = node[0], len(coordinates[node[0]])
        coordinates[node[0]].append([float(numbers[node])])
    known = [(places[a], places[b]) for span in spans for a, b in pairwise(span)]
    tracker = _tracker(
        # nothing new from frame to frame: that was decided with only two in memory
        "sqeuclidean",
        0.0,
        gap_closing_metric=_price(gaps, numbers),
        gap_closing_cutoff=1.0 if gaps else False,
        gap_closing_max_frame_count=longest_gap + 1,
        splitting_metric=_price(divisions, numbers),
        splitting_cutoff=1.0 if divisions else False,
    )
    columns = [np.array(rows, float).reshape(-1, 1) for rows in coordinates]
    tree = tracker.predict(columns, connected_edges=known)
    names = {place: node for node, place in places.items()}
    new = {(names[tuple(a)], names[tuple(b)]) for a, b in tree.edges()}
    return [*links, *sorted(new - {(names[a], names[b]) for a, b in known})]


def _spans(links: Sequence[Edge], nodes: set[Node]) -> list[list[Node]]:
    """Return the tracks of some nodes, each as its ends and those nodes, in time."""
    after, before = dict(links), {later: earlier for earlier, later in links}
    spans: dict[Node, set[Node]] = {}
    for node in nodes:
        first = last = node
        while first in before:
            first = before[first]
        while last in after:
            last = after[last]
        spans.setdefault(first, {first, last}).add(node)
    return [sorted(span) for span in spans.values()]


def _price(
    costs: dict[Edge, float], numbers: dict[Node, int]
) -> Callable[[Any, Any], float]:
    """Return the price of a pair of nodes, which are given by their numbers."""
    numbered = {(numbers[a], numbers[b]): cost for (a, b), cost in costs.items()}

    def price(u: Any, v: Any) -> float:
        low, high = sorted((int(u[0]), int(v[0])))
        return numbered.get((low, high), _IMPOSSIBLE)

    return price


def _tracker(
    metric: str | Callable[[Any, Any], float], cutoff: float, **more: Any
) -> Any:
    from laptrack import LapTrack  # slow to import, and only needed here

    settings: dict[str, Any] = {"gap_closing_cutoff": False, **more}
    names = (
        "track_start_cost", "track_end_cost", "segment_start_cost", "segment_end_cost",
        "no_splitting_cost", "no_merging_cost",
    )  # fmt: skip
    # laptrack would take them from the costs at hand, which differ from pair to pair
    settings |= dict.fromkeys(names, _LONE)
    return LapTrack(metric=metric, cutoff=cutoff, **settings)


def _without_rival(pairs: Pairs, n_first: int, n_second: int) -> NDArray[np.bool_]:
    """Return which pairs share no object with any other: there is no choice there."""
    size = n_first + n_second
    ones = np.ones(len(pairs.first))
    graph = coo_matrix((ones, (pairs.first, n_first + pairs.second)), (size, size))
    _, groups = connected_components(graph, directed=False)
    group = groups[pairs.first]
    return np.bincount(group, minlength=size + 1)[group] == 1


def _column(count: int) -> NDArray[np.float64]:
    return np.arange(count, dtype=float)[:, None]
