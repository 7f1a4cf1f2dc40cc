"""What channels tell besides their values: their spread, how steep, how busy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray


def unit_spread(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return channels of zero mean and unit spread; faint channels stay fainter."""
    axes = tuple(range(1, image.ndim))
    spread = image.std(axis=axes, keepdims=True)
    floor = max(0.25 * float(spread.max()), 1e-6)
    centred = image - image.mean(axis=axes, keepdims=True)
    return np.asarray(centred / np.maximum(spread, floor), np.float32)


def slope(image: NDArray[np.float32], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Return the size of the gradient, over all channels.

    Parameters
    ----------
    image : ndarray of float32, shape (C, *grid)
    spacing : sequence of float
        Voxel size along each axis of the grid: the result is per unit of it.

    Returns
    -------
    ndarray of float32, shape (*grid)
    """
    squares = np.zeros(image.shape[1:], np.float32)
    for channel in image:
        for axis, size in enumerate(spacing):
            if channel.shape[axis] > 1:
                squares += (np.gradient(channel, axis=axis) / size) ** 2
    return np.asarray(np.sqrt(squares), np.float32)


def busyness(
    steep: NDArray[np.float32], width: Sequence[float] | float = 1.0, faint: float = 0.3
) -> NDArray[np.float32]:
    """Return how busy an image is around each voxel, of unit spread.

    Parameters
    ----------
    steep : ndarray of float32, shape (*grid)
        Its `slope`.
    width : float or sequence of float, optional
        Standard deviation (voxels) of the Gaussian over which it is gathered.
    faint : float, optional
        Share of the usual slope below which differences count no longer.
    """
    smooth = ndimage.gaussian_filter(steep, width)
    # In logarithms faint texture differs from none as clearly as strong from faint.
    # Padding around a mosaic has none at all, and tells nothing of what is faint.
    is_there = smooth > 1e-6
    usual = float(np.median(smooth[is_there])) if is_there.any() else 1.0
    texture = np.log(np.where(is_there, smooth, usual) + faint * usual)
    return unit_spread(texture[None])[0]
