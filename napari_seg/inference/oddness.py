"""What to look at next without any network: objects of an odd size or shape."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import regionprops

from napari_seg.imaging.axes import PlaneIndex, iter_planes
from napari_seg.imaging.object_table import ObjectTable, object_table
from napari_seg.inference.ranking import Ranking, Tally, count_planes, upright
from napari_seg.types import Progress, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ENOUGH = 5
"""Of fewer objects nobody can tell what is usual."""
_HALF = 3.0
"""So many robust standard deviations from the median are a score of 0.5."""
_FLOORS = np.array([0.15, 0.03, 0.15])
"""Least spread of the features: in a monoculture 2 % larger is not odd."""
_AT_ONCE = 50


@dataclass(frozen=True)
class _Plane:
    plane: PlaneIndex
    table: ObjectTable
    features: NDArray[np.float64]
    """Shape (N, 3): log of the area, solidity, log of the elongation."""
    is_cut: NDArray[np.bool_]
    """Whether the object lies on the edge of the image."""


def rank_by_oddness(labels: NDArray[np.integer], axes: str) -> Ranking:
    """Rank by how unusual size and shape are among the objects of the same labels.

    Parameters
    ----------
    labels : ndarray of int
        Ids; axes as in `axes`.
    axes : str
        Letters of T, Z, Y, X.

    Returns
    -------
    Ranking
        With z the largest of the distances of log area, solidity (only downwards) and
        log elongation from their medians, in robust standard deviations (1.4826 times
        the median absolute deviation), an object's score is z / (z + 3), on average
        over its planes; a plane's is the mean over its objects. Of objects on the
        edge of the image, which are cut, only solidity counts.
    """
    return run(iter_rank_by_oddness(labels, axes))


def iter_rank_by_oddness(
    labels: NDArray[np.integer], axes: str
) -> Generator[Progress, None, Ranking]:
    """Rank plane by plane; see `rank_by_oddness`."""
    planes = []
    total = count_planes(axes, labels.shape)
    for done, plane in enumerate(iter_planes(axes, labels.shape)):
        yield Progress("rank", done, total)
        planes.append((yield from _iter_measure(upright(labels, axes, plane), plane)))
    every = np.concatenate([p.features for p in planes])
    whole = every[~np.concatenate([p.is_cut for p in planes])]
    middle, spread = _usual(whole if len(whole) >= _ENOUGH else every)
    tally = Tally()
    for one in planes:
        z = (one.features - middle) / spread
        z[:, 1] = np.maximum(-z[:, 1], 0)
        z[one.is_cut] *= (0, 1, 0)
        far = np.abs(z).max(axis=1, initial=0.0)
        scores = far / (far + _HALF) if len(every) >= _ENOUGH else 0 * far
        mean = float(scores.mean()) if len(scores) else 0.0
        tally.add(one.plane, replace(one.table, values=scores), mean)
    return tally.ranking()


def _iter_measure(
    ids: NDArray[np.integer], plane: PlaneIndex
) -> Generator[Progress, None, _Plane]:
    table = object_table(ids)
    features = np.zeros((len(table.ids), 3))
    for number, region in enumerate(regionprops(ids)):
        if not number % _AT_ONCE:
            yield Progress("rank", number, len(features))
        minor = max(region.axis_minor_length, 1.0)
        elongation = max(region.axis_major_length, minor) / minor
        solidity = region.solidity if region.area > 3 else 1.0
        features[number] = np.log(region.area), solidity, np.log(elongation)
    low, high = table.boxes[:, :2], table.boxes[:, 2:]
    is_cut = np.any(low <= 0, axis=1) | np.any(high >= ids.shape, axis=1)
    return _Plane(plane, table, features, np.asarray(is_cut))


def _usual(
    features: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median of each feature, and its robust standard deviation."""
    if not len(features):
        return np.zeros(3), np.ones(3)
    middle = np.median(features, axis=0)
    spread = 1.4826 * np.median(np.abs(features - middle), axis=0)
    return middle, np.maximum(spread, _FLOORS)
