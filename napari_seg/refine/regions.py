"""What a click may mean: regions that flood outwards from it, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from skimage.graph import MCP_Geometric

from napari_seg.refine.depth import depth_inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES = 200
"""Flood levels that are compared, their sizes in geometric progression."""

MOST_LOOKS = 12
"""Levels of which the middle is sought, the best rated first."""

AGREEMENT, CONTRAST = 3.0, 1.5
"""What a whole object shows besides steps along its outline: see `rate_levels`."""

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
) -> tuple[NDArray[np.bool_], float]:
    """Return the flood level that is best supported, and the click at its middle.

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
    float
        How well it is supported.
    """
    levels = _levels(distance, base)
    if not len(levels):
        return np.isfinite(distance) & ~base, 0.0
    joined = np.where(base, -1.0, distance)
    rating = rate_levels(image, joined, levels, whole=not base.any())
    best, best_rating = 0, -1.0
    # No region is better centred than 1: below the best rating none can win.
    for k in np.argsort(-rating)[:MOST_LOOKS]:
        if rating[k] <= best_rating:
            break
        region = (distance <= levels[k]) & ~base
        centred = _centredness(region, click, spacing)
        if rating[k] * centred > best_rating:
            best, best_rating = k, rating[k] * centred
    return (distance <= levels[best]) & ~base, float(best_rating)


def _levels(
    distance: NDArray[np.float64], base: NDArray[np.bool_]
) -> NDArray[np.float64]:
    reached = np.sort(distance[np.isfinite(distance) & ~base])
    if not len(reached):
        return reached
    first = min(4, len(reached))
    counts = np.unique(np.geomspace(first, len(reached), CANDIDATES).astype(int))
    return np.unique(reached[counts - 1])


def rate_levels(
    image: NDArray[np.float32],
    distance: NDArray[np.float64],
    levels: NDArray[np.float64],
    *,
    whole: bool,
) -> NDArray[np.float64]:
    """Return how well the image supports the region below each level.

    Its outline shows a step of intensity. A whole object shows it everywhere in the
    same direction, and its inside differs from what lies around it. The powers were
    fitted to clicks on nuclei, axons, stained tissue and phase contrast, leaving out
    each kind in turn.
    """
    ranks = np.searchsorted(levels, distance)
    length, steps, sizes = _outlines(image, ranks, len(levels))
    total = np.linalg.norm(steps, axis=0)
    support = total / (length + SHORTEST)
    if not whole:
        return np.asarray(support)
    agreement = total / (np.linalg.norm(sizes, axis=0) + 1e-6)
    contrast = (_contrast(image, ranks, len(levels)) + 0.05) ** CONTRAST
    return np.asarray(np.exp(AGREEMENT * agreement) * support * contrast)


def outline_support(image: NDArray[np.float32], region: NDArray[np.bool_]) -> float:
    """Mean step of intensity from inside to outside, along a region's outline."""
    length, steps, _ = _outlines(image, np.where(region, 0, 1), 1)
    return float(np.linalg.norm(steps) / (length[0] + SHORTEST))


def _outlines(
    image: NDArray[np.float32], ranks: NDArray[np.intp], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each level's length of outline, and the sums of steps and of their sizes.

    Voxels are in the region of level k if their rank is at most k. Steps are taken
    from inside to outside, for each channel.
    """
    length = np.zeros(count)
    steps = np.zeros((2, len(image), count))
    for axis in range(ranks.ndim):
        a, b = _pairs(ranks, axis)
        parted = np.flatnonzero(a != b)
        a, b = a[parted], b[parted]
        low, high = np.minimum(a, b), np.maximum(a, b)
        inward = np.where(b > a, 1.0, -1.0)
        length += _crossing(low, high, None, count)
        for c, channel in enumerate(image):
            x, y = _pairs(channel, axis)
            step = inward * (x[parted] - y[parted])
            steps[0, c] += _crossing(low, high, step, count)
            steps[1, c] += _crossing(low, high, np.abs(step), count)
    return length, steps[0], steps[1]


def _pairs(values: NDArray, axis: int) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
    moved = np.moveaxis(values, axis, 0)
    return moved[:-1].ravel(), moved[1:].ravel()


def _crossing(
    low: NDArray[np.intp],
    high: NDArray[np.intp],
    values: NDArray[np.float64] | None,
    count: int,
) -> NDArray[np.float64]:
    """Sum the values of the pairs that each level parts: low <= level < high."""
    gained = np.bincount(low, values, count + 1) - np.bincount(high, values, count + 1)
    return np.asarray(np.cumsum(gained[:count]), float)


def _contrast(
    image: NDArray[np.float32], ranks: NDArray[np.intp], count: int
) -> NDArray[np.float64]:
    """Return how far each region's mean is from that of the next voxels to flood."""
    flat = ranks.ravel()
    sizes = np.cumsum(np.bincount(flat, minlength=count + 1)[:count])
    # The shell is half as large as the region.
    outer = np.minimum(np.searchsorted(sizes, 1.5 * sizes + 8), count - 1)
    shell = np.maximum(sizes[outer] - sizes, 1)
    squares = np.zeros(count)
    for channel in image:
        sums = np.cumsum(np.bincount(flat, channel.ravel(), count + 1)[:count])
        around = (sums[outer] - sums) / shell
        squares += np.where(outer > np.arange(count), around - sums / sizes, 0) ** 2
    return np.asarray(np.sqrt(squares))


def _centredness(
    region: NDArray[np.bool_], click: NDArray[np.intp], spacing: Sequence[float]
) -> float:
    """Depth of the click in the region, relative to the region's deepest place."""
    depth = depth_inside(np.pad(region, 1), spacing)
    return float(depth[tuple(click + 1)] / max(depth.max(), 1e-6))
