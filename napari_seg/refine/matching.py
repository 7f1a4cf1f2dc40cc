"""Carry a mask from one image to a similar one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy import ndimage, signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shift = tuple[int, ...]
Value = TypeVar("Value", bound=np.generic)

NEAR_COST = 0.02
"""How much less alike a place looks for each squared step that it is away."""

FAR_COST = 0.05
"""The same for a move of the whole object as far as it may go."""

SURE = 4.0
"""By how many standard deviations a move must lower the squared difference."""


def shift_between(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    weight: NDArray[np.float32],
    reach: Sequence[int],
    *,
    gain: float,
) -> Shift:
    """Return how far the weighted part of one image has moved in another.

    Parameters
    ----------
    first, second : ndarray of float32, shape (C, *grid)
    weight : ndarray of float32, shape (*grid)
        How much each voxel of the first image counts.
    reach : sequence of int
        Farthest move along each axis.
    gain : float
        A move is believed if it leaves at most this share of the squared difference
        that noise does not explain.

    Returns
    -------
    tuple of int
        Where a voxel of the first image is in the second, relative to where it was.
    """
    reversed_ = (slice(None, None, -1),) * weight.ndim
    middle = tuple(
        slice(n - 1 - r, n + r) for n, r in zip(weight.shape, reach, strict=True)
    )
    misfit = np.zeros([2 * r + 1 for r in reach])
    for a, b in zip(first, second, strict=True):
        misfit += (weight * a**2).sum()
        misfit += signal.fftconvolve(b**2, weight[reversed_])[middle]
        misfit -= 2 * signal.fftconvolve(b, (weight * a)[reversed_])[middle]
    still = float(misfit[tuple(reach)])
    steps = np.ix_(*(np.linspace(-1, 1, 2 * r + 1) ** 2 for r in reach))
    misfit += FAR_COST * still * sum(steps)
    best = np.unravel_index(int(np.argmin(misfit)), misfit.shape)
    count = float(weight.sum())
    noise = 2 * count * sum(_noise(channel) ** 2 for channel in second)
    is_clear = still - misfit[best] > SURE * np.sqrt(2 / count) * noise
    if not is_clear or misfit[best] - noise > gain * (still - noise):
        return (0,) * weight.ndim
    return tuple(int(b) - r for b, r in zip(best, reach, strict=True))


def _noise(channel: NDArray[np.float32]) -> float:
    """Return the spread of the noise, by how far voxels leave a line of three."""
    bend = np.diff(channel, n=2, axis=-1)
    return float(np.median(np.abs(bend)) / 0.6745 / np.sqrt(6)) if bend.size else 0.0


def shifted(values: NDArray[Value], shift: Shift) -> NDArray[Value]:
    """Return an array moved by whole voxels; what comes in repeats the edge."""
    index = [
        np.clip(np.arange(n) - s, 0, n - 1)
        for n, s in zip(values.shape, shift, strict=True)
    ]
    return values[np.ix_(*index)]


def transferred(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    mask: NDArray[np.bool_],
    where: NDArray[np.bool_],
    spacing: Sequence[float],
    *,
    reach: float,
    patch_px: int,
    likeness: float,
) -> NDArray[np.float32]:
    """Return how much of what looks like a voxel lies in the mask (patch fusion).

    Each voxel of the second image is compared, with its surroundings, with all
    voxels of the first one around the same place.

    Parameters
    ----------
    first, second : ndarray of float32, shape (C, *grid)
    mask : ndarray of bool, shape (*grid)
        The object in the first image.
    where : ndarray of bool, shape (*grid)
        Voxels to look at.
    spacing : sequence of float
        Voxel size in units of its shortest side.
    reach : float
        How far to look, in units of spacing.
    patch_px : int
        Side of the surroundings that are compared.
    likeness : float
        How much more different than the most similar place another may be.

    Returns
    -------
    ndarray of float32
        0..1 for each voxel of `where`.
    """
    unlike, inside = [], []
    for offset, far in _offsets(reach, spacing):
        back = tuple(-o for o in offset)
        squares = np.zeros(mask.shape, np.float32)
        for a, b in zip(first, second, strict=True):
            squares += (b - shifted(a, back)) ** 2
        alike = ndimage.uniform_filter(squares, patch_px)[where]
        unlike.append(alike * (1 + NEAR_COST * far))
        inside.append(shifted(mask, back)[where])
    differences = np.stack(unlike)
    least = differences.min(axis=0)
    floor = 0.3 * float(np.median(least)) + 1e-6
    weights = np.exp((least - differences) / (likeness * (least + floor)))
    return np.asarray(
        (weights * np.stack(inside)).sum(axis=0) / weights.sum(axis=0), np.float32
    )


def _offsets(reach: float, spacing: Sequence[float]) -> Iterator[tuple[Shift, float]]:
    sides = [int(reach / s) for s in spacing]
    for offset in product(*(range(-n, n + 1) for n in sides)):
        far = sum((o * s) ** 2 for o, s in zip(offset, spacing, strict=True))
        if far <= reach**2 + 1:
            yield offset, far
