"""Boykov-Jolly energy on a pixel or voxel grid, and its minimum cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING

import maxflow
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOREGROUND, FREE, BACKGROUND, OUTSIDE = 1, 0, -1, 2
"""States of a voxel: tied to one side, to be decided, or beyond the grid."""

Offset = tuple[int, ...]
Weigh = Callable[[int, "NDArray[np.intp]", "NDArray[np.intp]"], "NDArray[np.floating]"]
"""``weigh(k, p, q)``: cost of parting flat voxels p and q = p + offset k."""

SPHERE_SAMPLES = 4096


def neighbour_offsets(ndim: int, *, diagonal: bool = True) -> list[Offset]:
    """Return one offset for each pair of opposite neighbours.

    Parameters
    ----------
    ndim : int
        2 for 4 or 8 neighbours, 3 for 6 or 26.
    diagonal : bool, optional
        Whether voxels that share only an edge or a corner are neighbours.
    """
    half = [o for o in product((-1, 0, 1), repeat=ndim) if o > (0,) * ndim]
    return half if diagonal else [o for o in half if np.count_nonzero(o) == 1]


def crofton_weights(
    offsets: Sequence[Offset], spacing: Sequence[float]
) -> NDArray[np.float64]:
    """Return link weights whose cut approximates length (2D) or area (3D).

    Parameters
    ----------
    offsets : sequence of tuple of int
        One of each pair of opposite neighbours.
    spacing : sequence of float
        Physical size of a voxel along each axis.

    Returns
    -------
    ndarray of float64, shape (len(offsets),)
        Cost of one cut link, per volume of a voxel, inversely proportional to its
        physical length (Boykov and Kolmogorov 2003, by Cauchy and Crofton).
    """
    steps = np.array(offsets, float) * np.asarray(spacing, float)
    lengths = np.linalg.norm(steps, axis=1)
    ndim = steps.shape[1]
    if ndim == 1:
        return np.asarray(1 / lengths)
    if ndim == 2:
        return np.asarray(_angle_shares(steps) * np.pi / 2 / lengths)
    return np.asarray(_sphere_shares(steps / lengths[:, None]) * 2 / lengths)


def _angle_shares(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of all directions in the plane that is nearest to each step."""
    angles = np.arctan2(steps[:, 0], steps[:, 1]) % np.pi
    order = np.argsort(angles)
    ordered = angles[order]
    gaps = np.diff(np.append(ordered, ordered[0] + np.pi))
    shares = np.empty(len(angles))
    shares[order] = (gaps + np.roll(gaps, 1)) / 2 / np.pi
    return shares


def _sphere_shares(units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of all directions in space that is nearest to each unit vector."""
    i = np.arange(SPHERE_SAMPLES) + 0.5
    height = 1 - i / SPHERE_SAMPLES
    turn = i * np.pi * (1 + np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    samples = np.stack([height, radius * np.cos(turn), radius * np.sin(turn)])
    # Ties are shared, so that mirror images of a direction weigh the same.
    closeness = np.abs(units @ samples)
    nearest = closeness >= closeness.max(axis=0) - 1e-9
    return np.asarray((nearest / nearest.sum(axis=0)).mean(axis=1))


def minimum_cut(
    log_odds: NDArray[np.floating],
    states: NDArray[np.int8],
    offsets: Sequence[Offset],
    weigh: Weigh,
) -> NDArray[np.bool_]:
    """Minimise the energy over the free voxels.

    The energy is the sum of ``-log_odds`` over the foreground plus `weigh` over the
    links that the mask cuts.

    Parameters
    ----------
    log_odds : ndarray of float
        Evidence for the foreground; negative speaks for the background.
    states : ndarray of int8, same shape
        `FOREGROUND`, `BACKGROUND` or `FREE`. Tied voxels cost nothing: only
        free voxels become nodes of the graph.
    offsets : sequence of tuple of int
        One of each pair of opposite neighbours.
    weigh : callable
        ``weigh(k, p, q)`` gives the non-negative weights of the links from flat
        indices p to q = p + ``offsets[k]``.

    Returns
    -------
    ndarray of bool, same shape
        The smallest of the minimal masks.
    """
    if not (states == FREE).any():
        # maxflow has no graph without nodes.
        return np.asarray(states == FOREGROUND)
    grid = _Grid(states)
    graph = maxflow.GraphFloat(len(grid.free), len(grid.free) * len(offsets))
    nodes = graph.add_nodes(len(grid.free))
    pull = log_odds.ravel()[grid.flat(grid.free)].astype(np.float64)
    for k, offset in enumerate(offsets):
        ends = grid.free + grid.stride(offset)
        inner = grid.state[ends] == FREE
        starts, stops = grid.free[inner], ends[inner]
        weights = weigh(k, grid.flat(starts), grid.flat(stops)).astype(np.float64)
        graph.add_edges(grid.node[starts], grid.node[stops], weights, weights)
        _add_tied(pull, grid, k, offset, weigh)
    # The source is the background: what no side pulls at stays there.
    graph.add_grid_tedges(nodes, np.maximum(-pull, 0), np.maximum(pull, 0))
    graph.maxflow()
    mask = (states == FOREGROUND).ravel()
    mask[grid.flat(grid.free)] = graph.get_grid_segments(nodes)
    return mask.reshape(states.shape)


class _Grid:
    """Free voxels of a grid with a rim of one voxel, so that offsets are strides."""

    def __init__(self, states: NDArray[np.int8]) -> None:
        padded = np.pad(states, 1, constant_values=OUTSIDE)
        self.state = padded.ravel()
        self._strides = np.array(padded.strides) // padded.itemsize
        number = np.arange(states.size, dtype=np.int32).reshape(states.shape)
        self._flat = np.pad(number, 1).ravel()
        self.free = np.flatnonzero(self.state == FREE)
        self.node = np.empty(padded.size, np.int64)
        self.node[self.free] = np.arange(len(self.free))

    def stride(self, offset: Offset) -> int:
        return int(np.dot(self._strides, offset))

    def flat(self, padded_index: NDArray[np.intp]) -> NDArray[np.intp]:
        return self._flat[padded_index].astype(np.intp)


def _add_tied(
    pull: NDArray[np.float64], grid: _Grid, k: int, offset: Offset, weigh: Weigh
) -> None:
    """Add the links to tied voxels, whose side is known, to the pull."""
    stride = grid.stride(offset)
    for sign in (1, -1):
        others = grid.free + sign * stride
        state = grid.state[others]
        tied = np.flatnonzero((state == FOREGROUND) | (state == BACKGROUND))
        here, there = grid.flat(grid.free[tied]), grid.flat(others[tied])
        p, q = (here, there) if sign > 0 else (there, here)
        pull[tied] += state[tied] * weigh(k, p, q)


def cut_energy(
    mask: NDArray[np.bool_],
    log_odds: NDArray[np.floating],
    offsets: Sequence[Offset],
    weigh: Weigh,
) -> float:
    """Return the energy that `minimum_cut` minimises, of any mask."""
    energy = -float(log_odds[mask].sum())
    number = np.arange(mask.size).reshape(mask.shape)
    for k, offset in enumerate(offsets):
        starts, stops = _shifted(number, offset)
        parted = mask.ravel()[starts] != mask.ravel()[stops]
        energy += float(weigh(k, starts[parted], stops[parted]).sum())
    return energy


def _shifted(
    number: NDArray[np.intp], offset: Offset
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    starts = tuple(slice(max(-o, 0), min(-o, 0) or None) for o in offset)
    stops = tuple(slice(max(o, 0), min(o, 0) or None) for o in offset)
    return number[starts].ravel(), number[stops].ravel()


def contrast_weights(
    image: NDArray[np.float32],
    offsets: Sequence[Offset],
    spacing: Sequence[float],
    *,
    strength: float,
    sigma: float,
) -> Weigh:
    """Return link weights that make a boundary cheap where the image changes.

    Parameters
    ----------
    image : ndarray of float32, shape (C, *grid)
        Channels first.
    offsets : sequence of tuple of int
        One of each pair of opposite neighbours.
    spacing : sequence of float
        Physical size of a voxel along each axis.
    strength : float
        Cost of a unit of length where the image is flat.
    sigma : float
        Difference of intensity at which that cost falls to exp(-1/2).
    """
    lengths = strength * crofton_weights(offsets, spacing)
    values = image.reshape(len(image), -1)
    scale = -0.5 / sigma**2

    def weigh(k: int, p: NDArray[np.intp], q: NDArray[np.intp]) -> NDArray[np.floating]:
        squares = np.zeros(len(p), np.float32)
        for channel in values:
            squares += (channel[p] - channel[q]) ** 2
        return lengths[k] * np.exp(scale * squares)

    return weigh
