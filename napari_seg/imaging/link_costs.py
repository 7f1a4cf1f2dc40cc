"""What it costs to take two objects of a film for one, or for mother and daughter.

All costs are 0 for a perfect match and below 1 for a possible one; a pair that is not
listed is impossible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.frame_objects import FrameObjects, Shared

_DIVISION_OFFSET = 0.35
"""How far the middle of two daughters may be from their mother, in her diameters. An
object that appears beside another of its size moves the middle by at least 0.5."""
_DIVISION_SIZES = 0.5
"""Least size of the smaller daughter, as a share of the larger one's."""
_DIVISION_GROWTH = 1.25
"""Most size of a daughter, as a share of the mother's: who divides has been round."""


@dataclass(frozen=True)
class Pairs:
    """Possible pairs, one entry each."""

    first: NDArray[np.intp]
    """Row of the earlier object."""
    second: NDArray[np.intp]
    """Row of the later object."""
    costs: NDArray[np.float64]
    """0..1."""


def link_costs(
    first: FrameObjects,
    second: FrameObjects,
    shared: Shared,
    spacing: tuple[float, ...],
    reach: float,
) -> Pairs:
    """Price the pairs of two frames that follow each other.

    The cost is the mean of three: 1 - IoU, the distance between the centres as a share
    of the reach, and the difference in size as a share of the larger one. What neither
    overlaps nor is within reach is impossible.

    Parameters
    ----------
    first, second : FrameObjects
    shared : Shared
        Their common pixels.
    spacing : tuple of float
        Size of a pixel along each axis.
    reach : float
        Largest distance between the centres of objects that do not overlap, in the
        unit of the spacing.

    Returns
    -------
    Pairs
    """
    places = first.centres * spacing, second.centres * spacing
    near_a, near_b = _within(*places, reach)
    width = max(1, len(second.ids))
    keys = np.union1d(near_a * width + near_b, shared.first * width + shared.second)
    a, b = keys // width, keys % width
    both = np.zeros(len(keys), np.int64)
    both[np.searchsorted(keys, shared.first * width + shared.second)] = shared.counts
    iou = both / np.maximum(first.sizes[a] + second.sizes[b] - both, 1)
    distances = np.linalg.norm(places[0][a] - places[1][b], axis=1)
    unlike = _unlikeness(first.sizes[a], second.sizes[b])
    costs = (1 - iou + np.minimum(distances / reach, 1) + unlike) / 3
    possible = (iou > 0) | (distances < reach)
    return Pairs(a[possible], b[possible], costs[possible])


def gap_costs(
    first: FrameObjects,
    second: FrameObjects,
    spacing: tuple[float, ...],
    reach: float,
) -> Pairs:
    """Price the pairs of objects that vanish and objects that appear later.

    The masks have moved on meanwhile, so the sizes take the place of the overlap.

    Parameters
    ----------
    first, second : FrameObjects
        What vanishes, and what appears.
    spacing, reach
        As for `link_costs`; the reach is that of all the frames between.
    """
    places = first.centres * spacing, second.centres * spacing
    a, b = _within(*places, reach)
    distances = np.linalg.norm(places[0][a] - places[1][b], axis=1)
    costs = _unlikeness(first.sizes[a], second.sizes[b]) / 2 + distances / reach / 2
    possible = costs < 1
    return Pairs(a[possible], b[possible], costs[possible])


def division_costs(
    mothers: FrameObjects,
    daughters: FrameObjects,
    links: NDArray[np.intp],
    appeared: NDArray[np.intp],
    spacing: tuple[float, ...],
) -> Pairs:
    """Price the pairs of a mother and the daughter she is not linked to.

    The two daughters are of like size, none is larger than the mother was, and she was
    in the middle between them.

    Parameters
    ----------
    mothers, daughters : FrameObjects
        Of a frame, and of the next.
    links : ndarray of int, shape (N, 2)
        Rows of mothers and of the daughters they are linked to.
    appeared : ndarray of int
        Rows of objects of the next frame that are linked to nothing.
    spacing : tuple of float
        Size of a pixel along each axis.

    Returns
    -------
    Pairs
        Of mothers and objects that appeared.
    """
    before, after = mothers.centres * spacing, daughters.centres * spacing
    sides = mothers.diameters(spacing)
    widest = float(sides.max(initial=0))
    at, new = _within(before[links[:, 0]], after[appeared], 2 * widest)
    mother, known, other = links[at, 0], links[at, 1], appeared[new]
    middle = (after[known] + after[other]) / 2
    offsets = np.linalg.norm(middle - before[mother], axis=1)
    offsets = offsets / (_DIVISION_OFFSET * sides[mother])
    sizes = daughters.sizes[known], daughters.sizes[other]
    unlike = _unlikeness(*sizes)
    most = _DIVISION_GROWTH * mothers.sizes[mother]
    possible = (offsets < 1) & (unlike <= 1 - _DIVISION_SIZES)
    possible &= np.maximum(*sizes) <= most
    costs = (offsets + unlike) / 2
    return Pairs(mother[possible], other[possible], costs[possible])


def _unlikeness(
    first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return 0 for equal sizes, towards 1 the more they differ."""
    return 1 - np.minimum(first, second) / np.maximum(np.maximum(first, second), 1)


def _within(
    first: NDArray[np.float64], second: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of all pairs of points that are no farther apart."""
    if not len(first) or not len(second):
        empty = np.zeros(0, np.intp)
        return empty, empty
    near = cKDTree(first).query_ball_point(second, reach)
    counts = [len(rows) for rows in near]
    a = np.fromiter((i for rows in near for i in rows), np.intp, sum(counts))
    return a, np.repeat(np.arange(len(second)), counts)
