"""What a click may mean: regions that flood outwards from it, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from edt import edt
from skimage.graph import MCP_Geometric

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES = 200
"""Flood levels that are compared, their sizes in geometric progression."""

MOST_LOOKS = 40
"""Levels of which the middle is sought, the best supported first."""

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
    slope = np.zeros(seeds.shape, np.float32)
    for channel, value in zip(image, home, strict=True):
        strange += (channel - value) ** 2
        for axis, size in enumerate(spacing):
            if channel.shape[axis] > 1:
                slope += (np.gradient(channel, axis=axis) / size) ** 2
    return np.asarray(STEP_COST + np.sqrt(slope) + 0.3 * np.sqrt(strange), np.float32)


def best_region(
    image: NDArray[np.float32],
    distance: NDArray[np.float64],
    base: NDArray[np.bool_],
    click: NDArray[np.intp],
    spacing: Sequence[float],
) -> NDArray[np.bool_]:
    """Return the flood level whose outline the image supports best.

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

    Returns
    -------
    ndarray of bool
        The flooded voxels, without `base`.
    """
    levels = _levels(distance, base)
    if not len(levels):
        return np.isfinite(distance) & ~base
    support = outline_support(image, np.where(base, -1.0, distance), levels)
    best, best_score = 0, -1.0
    # No region is better centred than 1: below the best score none can win.
    for k in np.argsort(-support)[:MOST_LOOKS]:
        if support[k] <= best_score:
            break
        region = (distance <= levels[k]) & ~base
        score = support[k] * _centredness(region, click, spacing)
        if score > best_score:
            best, best_score = k, score
    return (distance <= levels[best]) & ~base


def _levels(
    distance: NDArray[np.float64], base: NDArray[np.bool_]
) -> NDArray[np.float64]:
    reached = np.sort(distance[np.isfinite(distance) & ~base])
    if not len(reached):
        return reached
    first = min(4, len(reached))
    counts = np.unique(np.geomspace(first, len(reached), CANDIDATES).astype(int))
    return np.asarray(reached[counts - 1])


def outline_support(
    image: NDArray[np.float32],
    distance: NDArray[np.float64],
    levels: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean step of intensity from inside to outside, along each level's outline."""
    length = np.zeros(len(levels))
    steps = np.zeros((len(image), len(levels)))
    for axis in range(distance.ndim):
        a, b = _pairs(distance, axis)
        change = [x - y for x, y in (_pairs(channel, axis) for channel in image)]
        # Not sign(b - a): both may be infinite.
        inward = (b > a).astype(float) - (a > b)
        low, high = np.minimum(a, b), np.maximum(a, b)
        length += _crossing(low, high, np.ones_like(low), levels)
        for total, values in zip(steps, change, strict=True):
            total += _crossing(low, high, inward * values, levels)
    return np.asarray(np.linalg.norm(steps, axis=0) / (length + SHORTEST))


def _pairs(values: NDArray, axis: int) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
    moved = np.moveaxis(values, axis, 0)
    return moved[:-1].ravel(), moved[1:].ravel()


def _crossing(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    values: NDArray[np.float64],
    levels: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum the values of the pairs that each level parts: low <= level < high."""
    total = np.zeros(len(levels))
    for bound, sign in ((low, 1.0), (high, -1.0)):
        place = np.searchsorted(levels, bound)
        counts = np.bincount(place, weights=values, minlength=len(levels) + 1)
        total += sign * np.cumsum(counts[: len(levels)])
    return total


def _centredness(
    region: NDArray[np.bool_], click: NDArray[np.intp], spacing: Sequence[float]
) -> float:
    """Depth of the click in the region, relative to the region's deepest place."""
    depth = edt(region, anisotropy=tuple(spacing), black_border=True)
    return float(depth[tuple(click)] / max(depth.max(), 1e-6))
