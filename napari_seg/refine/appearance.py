"""Intensity model of object and surroundings: smoothed histograms of any channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = {1: 64, 2: 24, 3: 14}
"""Bins along each of one, two or three principal components."""

BLUR = {1: 2.5, 2: 1.3, 3: 1.0}
"""Width of the Gaussian that smooths the histogram, in bins."""

LIMIT = 4.0
"""Largest log-odds: no intensity is proof."""


@dataclass(frozen=True)
class Appearance:
    """Log-odds of object over surroundings for every intensity or colour.

    Parameters
    ----------
    mean : ndarray, shape (C,)
    axes : ndarray, shape (K, C)
        Principal components, K at most 3.
    low, high : ndarray, shape (K,)
        Range of the histogram.
    table : ndarray, K axes
        Log-odds in each bin.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    table: NDArray[np.float32]

    def log_odds(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-odds of values of shape (C or more, ...), shape (...).

        Further channels than those it was learnt from are not looked at.
        """
        values = values[: self.axes.shape[1]]
        flat = self.axes @ (values.reshape(len(values), -1) - self.mean[:, None])
        position = _position(flat, self.low, self.high, self.table.shape[0])
        found = ndimage.map_coordinates(self.table, position, order=1, mode="nearest")
        return np.asarray(found.reshape(values.shape[1:]), np.float32)


@dataclass(frozen=True)
class Evidence:
    """Log-odds in two parts: by intensity, and by place.

    Parameters
    ----------
    appearance : Appearance
    spatial : ndarray of float32
        By place: suggested shape, strokes, network.
    weight : float
        Of the appearance.
    """

    appearance: Appearance
    spatial: NDArray[np.float32]
    weight: float

    def log_odds(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the sum of both parts for the image they were gathered from."""
        return self.weight * self.appearance.log_odds(image) + self.spatial


def fit_appearance(
    values: NDArray[np.float32],
    inside: NDArray[np.floating],
    outside: NDArray[np.floating],
) -> Appearance:
    """Learn how object and surroundings look.

    Parameters
    ----------
    values : ndarray of float32, shape (C, *grid)
    inside, outside : ndarray of float, shape (*grid)
        Weight of each voxel as a sample of either side.

    Returns
    -------
    Appearance
    """
    if not (inside > 0).any() or not (outside > 0).any():
        # One side alone teaches nothing: equal weights give log-odds of zero.
        inside = outside = np.ones_like(values[0])
    used = (inside > 0) | (outside > 0)
    samples = values[:, used]
    mean = samples.mean(axis=1)
    axes = _principal_axes(samples - mean[:, None])
    flat = axes @ (samples - mean[:, None])
    low, high = np.percentile(flat, [0.5, 99.5], axis=1)
    high = np.maximum(high, low + 1e-6)
    bins, blur = BINS[len(axes)], BLUR[len(axes)]
    place = np.round(_position(flat, low, high, bins)).astype(np.intp)
    index = np.ravel_multi_index(tuple(place), (bins,) * len(axes))
    sides = []
    for weight in (inside[used], outside[used]):
        counts = np.bincount(index, weights=weight, minlength=bins ** len(axes))
        shares = counts.reshape((bins,) * len(axes)) / max(counts.sum(), 1e-12)
        sides.append(ndimage.gaussian_filter(shares, blur, mode="nearest"))
    floor = 0.02 / bins ** len(axes)
    table = np.log(sides[0] + floor) - np.log(sides[1] + floor)
    return Appearance(
        mean.astype(np.float32),
        axes.astype(np.float32),
        low.astype(np.float32),
        high.astype(np.float32),
        np.clip(table, -LIMIT, LIMIT).astype(np.float32),
    )


def _principal_axes(centred: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the directions that hold nearly all of the spread, at most three."""
    if len(centred) == 1:
        return np.ones((1, 1))
    spread, axes = np.linalg.eigh(np.cov(centred))
    spread = np.maximum(spread[::-1], 0)
    share = np.cumsum(spread) / max(spread.sum(), 1e-12)
    return np.asarray(axes[:, ::-1].T[: min(3, 1 + int(np.sum(share < 0.98)))])


def _position(
    flat: NDArray[np.floating],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    bins: int,
) -> NDArray[np.floating]:
    scaled = (flat - low[:, None]) / (high - low)[:, None]
    return np.asarray(np.clip(scaled, 0, 1) * (bins - 1))
