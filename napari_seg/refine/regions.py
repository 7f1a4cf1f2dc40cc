"""What a click may mean: regions that flood outwards from it, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from skimage.graph import MCP_Geometric

from napari_seg.refine.channels import slope
from napari_seg.refine.depth import depth_inside
from napari_seg.refine.rating import Flood

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES = 200
"""Flood levels that are compared, their sizes in geometric progression."""

MOST_LOOKS = 12
"""Levels of which the middle is sought, the best rated first."""

SHORTEST = 12.0
"""Outlines not longer than this, in voxels, are mistrusted."""

STEP_COST = 0.15
"""Cost of a step on flat ground, in units of the image's spread."""


def geodesic_distance(
    relief: NDArray[np.float32],
    seeds: NDArray[np.bool_],
    domain: NDArray[np.bool_],
    spacing: Sequence[float],
) -> NDArray[np.float64]:
    """Return the cheapest path's cost from the seeds, infinite outside the domain.

    Parameters
    ----------
    relief : ndarray of float32
        Cost of passing a voxel, per unit of length.
    seeds, domain : ndarray of bool
        Where paths begin, and where they may go.
    spacing : sequence of float
        Voxel size in units of its shortest side.
    """
    costs = np.where(domain | seeds, relief, -1.0)
    solver = MCP_Geometric(costs, sampling=tuple(spacing))
    distance, _ = solver.find_costs(np.argwhere(seeds).tolist())
    return np.asarray(distance)


def flood_relief(
    image: NDArray[np.float32], seeds: NDArray[np.bool_], spacing: Sequence[float]
) -> NDArray[np.float32]:
    """Return the cost of passing each voxel: change of intensity, and strangeness.

    Parameters
    ----------
    image : ndarray of float32, shape (C, *grid)
        Scaled to unit spread.
    seeds : ndarray of bool, shape (*grid)
        Voxels whose intensity is at home.
    spacing : sequence of float
        Voxel size in units of its shortest side.
    """
    home = np.median(image[:, seeds], axis=1)
    strange = np.zeros(seeds.shape, np.float32)
    for channel, value in zip(image, home, strict=True):
        strange += (channel - value) ** 2
    steep = slope(image, spacing)
    return np.asarray(STEP_COST + steep + 0.3 * np.sqrt(strange), np.float32)


def best_region(
    image: NDArray[np.float32],
    distance: NDArray[np.float64],
    base: NDArray[np.bool_],
    click: NDArray[np.intp],
    spacing: Sequence[float],
    largest: float = np.inf,
) -> NDArray[np.bool_]:
    """Return the flood level whose outline is clearest, with the click at its middle.

    Parameters
    ----------
    image : ndarray of float32, shape (C, *grid)
        Scaled to unit spread.
    distance : ndarray of float
        Cost of reaching each voxel from the click; infinite where it must not go.
    base : ndarray of bool
        Voxels on the click's side already: the flood joins them.
    click : ndarray of int, shape (ndim,)
        People click at the middle of what they want changed.
    spacing : sequence of float
        Voxel size in units of its shortest side.
    largest : float, optional
        Most voxels of a region.

    Returns
    -------
    ndarray of bool
        The flooded voxels, without `base`.
    """
    levels = flood_levels(distance, base, CANDIDATES, largest)
    if not len(levels):
        return np.isfinite(distance) & ~base
    joined = np.where(base, -1.0, distance)
    flood = Flood(np.searchsorted(levels, joined), len(levels))
    length, steps, _ = flood.outlines(image)
    rating = np.linalg.norm(steps, axis=0) / (length + SHORTEST)
    best, most = 0, -1.0
    # No region is better centred than 1: below the best rating none can win.
    for k in np.argsort(-rating)[:MOST_LOOKS]:
        if rating[k] <= most:
            break
        region = (distance <= levels[k]) & ~base
        centred = _centredness(region, click, spacing)
        if rating[k] * centred > most:
            best, most = k, rating[k] * centred
    return (distance <= levels[best]) & ~base


def flood_levels(
    distance: NDArray[np.float64],
    base: NDArray[np.bool_],
    most: int,
    largest: float = np.inf,
) -> NDArray[np.float64]:
    """Return levels of a flood, the sizes of their regions in geometric progression."""
    reached = np.sort(distance[np.isfinite(distance) & ~base])
    if not len(reached):
        return reached
    first = min(4, len(reached))
    last = max(first, min(len(reached), largest))
    counts = np.unique(np.geomspace(first, last, most).astype(int))
    return np.unique(reached[counts - 1])


def _centredness(
    region: NDArray[np.bool_], click: NDArray[np.intp], spacing: Sequence[float]
) -> float:
    """Depth of the click in the region, relative to the region's deepest place."""
    depth = depth_inside(np.pad(region, 1), spacing)
    return float(depth[tuple(click + 1)] / max(depth.max(), 1e-6))
