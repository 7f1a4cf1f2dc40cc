"""The last step: ids linked across planes, then 1..N without gaps."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.axes import iter_planes, plane_selection
from napari_seg.imaging.linking import (
    UnionFind,
    dense_lut,
    is_identity,
    match_planes,
    present_ids,
    renumber,
)
from napari_seg.inference.planes import frames, plane_of
from napari_seg.types import Progress, Region

Labels = NDArray[np.int32]


def iter_number(
    labels: Labels, axes: str, groups: UnionFind, *, link_z: bool
) -> Generator[Progress, None, NDArray[np.int32]]:
    """Link and renumber a stack in place, with only a few planes in hand.

    Parameters
    ----------
    labels : ndarray of int32
        Ids unique over the whole stack but for `groups`.
    axes : str
        Axes of the labels.
    groups : UnionFind
        Ids known to be parts of one object; receives the links.
    link_z : bool
        Whether overlapping objects of neighbouring planes are one.

    Yields
    ------
    Progress
        Stage ``"link"``; regions are planes whose ids changed.

    Returns
    -------
    ndarray of int32
        The table that turned old ids into new ones.
    """
    planes = list(iter_planes(axes, labels.shape))
    pairs = [p for frame in frames(axes, labels.shape) for p in pairwise(frame)]
    pairs = pairs if link_z else []
    total, done = len(pairs) + len(planes), 0
    for below, above in pairs:
        first, second = (
            groups.roots(plane_of(labels, axes, p)) for p in (below, above)
        )
        for match in match_planes(first, second):
            groups.union(match)
        done += 1
        yield Progress("link", done, total)
    ids = present_ids(plane_of(labels, axes, p) for p in planes)
    table = dense_lut(ids, groups)
    if is_identity(table, ids):
        yield Progress("link", total, total)
        return table
    for plane in planes:
        renumber(plane_of(labels, axes, plane), table)
        done += 1
        index = plane_selection(axes, plane)
        yield Progress("link", done, total, Region(index, labels[index]))
    return table


def renumber_scores(
    scores: Mapping[int, float], table: NDArray[np.int32]
) -> dict[int, float]:
    """Give scores the ids that `iter_number` gave; of joined objects the best."""
    found: dict[int, float] = {}
    for old, score in scores.items():
        new = int(table[old]) if old < len(table) else 0
        if new:
            found[new] = max(score, found.get(new, 0.0))
    return dict(sorted(found.items()))
