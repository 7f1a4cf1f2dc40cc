"""A whole object around strokes: floods led by intensity and by texture, rated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.refine.channels import busyness
from napari_seg.refine.rating import region_features, shipped_rater
from napari_seg.refine.regions import (
    flood_levels,
    flood_relief,
    geodesic_distance,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_seg.refine.strokes import Stroke

LEVELS = 80
"""Of each flood, the sizes of their regions in geometric progression."""


@dataclass(frozen=True)
class Look:
    """A coarse look at the surroundings of strokes.

    Parameters
    ----------
    image : ndarray of float32, shape (C, *grid)
        Scaled to unit spread.
    steep : ndarray of float32, shape (*grid)
        How much the image changes from voxel to voxel, before it was blurred.
    strokes : sequence of Stroke
        In coordinates of the grid.
    forbidden : ndarray of bool, shape (*grid)
        Ground of other objects.
    spacing : tuple of float
        Size of a coarse voxel, in units of the shortest side of a voxel.
    """

    image: NDArray[np.float32]
    steep: NDArray[np.float32]
    strokes: Sequence[Stroke]
    forbidden: NDArray[np.bool_]
    spacing: tuple[float, ...]


@dataclass(frozen=True)
class Flood:
    """Regions around the strokes of a look: all voxels up to each level.

    Parameters
    ----------
    distance : ndarray of float, shape (*grid)
    levels : ndarray of float, shape (K,)
    features : dict of str to ndarray, shape (K,)
    """

    distance: NDArray[np.float64]
    levels: NDArray[np.float64]
    features: dict[str, NDArray[np.float64]]


def whole_region(look: Look) -> tuple[NDArray[np.bool_], float]:
    """Return the region that looks most like a whole object with all strokes.

    Parameters
    ----------
    look : Look

    Returns
    -------
    ndarray of bool, shape (*grid)
    float
        How much it looks like one; comparable between looks.
    """
    best, most = np.zeros(look.forbidden.shape, bool), -np.inf
    for flood in floods(look):
        ratings = shipped_rater().rate(flood.features)
        k = int(np.argmax(ratings))
        if ratings[k] > most:
            best, most = flood.distance <= flood.levels[k], float(ratings[k])
    return best, most


def floods(look: Look) -> list[Flood]:
    """Return two floods from the strokes, led by intensity and by texture."""
    marks = {side: np.zeros(look.forbidden.shape, bool) for side in (True, False)}
    for stroke in look.strokes:
        marks[stroke.positive][tuple(stroke.points.T)] = True
    seeds, rivals = marks[True], marks[False]
    domain = ~look.forbidden & ~rivals
    points = [s.points for s in look.strokes if s.positive and len(s.points)]
    centre = np.mean([p.mean(axis=0) for p in points], axis=0)
    texture = busyness(look.steep)
    found = []
    for channels in (look.image, texture[None]):
        relief = flood_relief(channels, seeds, look.spacing)
        distance = geodesic_distance(relief, seeds, domain, look.spacing)
        if rivals.any():
            # Halfway to strokes of the other side is as far as a stroke may claim.
            other = geodesic_distance(relief, rivals, ~seeds, look.spacing)
            distance[other < distance] = np.inf
        levels = flood_levels(distance, np.zeros_like(seeds), LEVELS)
        features = region_features(look.image, texture, distance, levels, centre)
        found.append(Flood(distance, levels, features))
    return found
