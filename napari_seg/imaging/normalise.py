"""Intensity normalisation by percentiles that ignores NaN and infinities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CLIP = (-1.0, 5.0)
"""Normalised values outside are clipped: saturated debris must not swamp a net."""

SAMPLES = 1_000_000
"""Pixels of a large image that are looked at."""


@dataclass(frozen=True)
class Normalisation:
    """Which percentiles become 0 and 1."""

    low: float = 1.0
    """Percentile of the intensities that becomes 0."""
    high: float = 99.8
    """Percentile of the intensities that becomes 1."""


def intensity_range(
    image: ArrayLike,
    normalisation: Normalisation | None = None,
    *,
    max_samples: int = SAMPLES,
) -> tuple[float, float]:
    """Intensities at the two percentiles of an image.

    Parameters
    ----------
    image : array_like
        Any shape, any integer, bool or float dtype. NaN and infinities are ignored.
    normalisation : Normalisation, optional
        The percentiles, by default 1 and 99.8.
    max_samples : int
        A larger image is sampled on a regular grid of about this many pixels.

    Returns
    -------
    low, high : float
        ``(0.0, 0.0)`` if nothing finite is there; equal for a constant image.
    """
    normalisation = normalisation or Normalisation()
    sample = _grid_sample(np.asarray(image), max_samples)
    wanted = (normalisation.low, normalisation.high)
    if sample.size and sample.dtype in (np.uint8, np.uint16):
        low, high = _counted_percentiles(sample, wanted)
    else:
        values = sample.astype(np.float64, copy=False).ravel()
        sample = values[np.isfinite(values)]
        if sample.size == 0:
            return 0.0, 0.0
        low, high = np.percentile(sample, wanted)
    if low == high:
        # A few bright spots on black: the percentiles meet although the image varies.
        low, high = sample.min(), sample.max()
    return float(low), float(high)


def sampled(channels: Any, channel: int, planes: int = 16) -> NDArray[Any]:
    """Return some planes of a channel on disk, read one by one.

    Parameters
    ----------
    channels : array
        Shape (C, [Z,] Y, X). Channels in memory are returned as they are.
    channel : int
    planes : int
        How many are read of a stack, spread evenly. Of each as many rows and columns
        are taken as `intensity_range` looks at.
    """
    if isinstance(channels, np.ndarray):
        return np.asarray(channels[channel])
    *leading, rows, columns = (int(n) for n in channels.shape[1:])
    depth = leading[0] if leading else 1
    count = min(planes, depth)
    step = max(1, int(np.ceil((rows * columns * count / SAMPLES) ** 0.5)))
    window = (slice(None, None, step),) * 2
    if not leading:
        return np.asarray(channels[(channel, *window)])
    chosen = [(2 * i + 1) * depth // (2 * count) for i in range(count)]
    return np.stack([np.asarray(channels[(channel, z, *window)]) for z in chosen])


def rescale_intensity(
    image: ArrayLike, value_range: tuple[float, float]
) -> NDArray[np.float32]:
    """Map an intensity range to 0..1 without losing what lies outside.

    Parameters
    ----------
    image : array_like
        Any shape and real dtype.
    value_range : (float, float)
        The intensities that become 0 and 1.

    Returns
    -------
    ndarray of float32
        Same shape, clipped to -1..5. NaN becomes 0, infinities the clip limits; an
        empty range gives zeros.
    """
    low, high = value_range
    array = np.asarray(image)
    if not high > low:
        return np.zeros(array.shape, np.float32)
    # 32-bit floats cannot tell neighbouring values of wide integers apart.
    wide = array.dtype.itemsize >= 4 and array.dtype != np.float32
    scaled: NDArray[np.floating[Any]]
    scaled = array.astype(np.float64 if wide else np.float32)
    scaled -= low
    scaled /= high - low
    if array.dtype.kind == "f":
        np.nan_to_num(scaled, copy=False, nan=0.0, posinf=CLIP[1], neginf=CLIP[0])
    return np.clip(scaled, *CLIP, out=scaled).astype(np.float32, copy=False)


def _counted_percentiles(
    values: NDArray[np.generic], percentiles: Sequence[float]
) -> NDArray[np.float64]:
    """Return what `numpy.percentile` does of small integers, without sorting them."""
    upto = np.cumsum(np.bincount(values.ravel()))
    ranks = np.asarray(percentiles) / 100 * (values.size - 1)
    below = np.searchsorted(upto, np.floor(ranks), side="right")
    above = np.searchsorted(upto, np.ceil(ranks), side="right")
    return below + (above - below) * (ranks % 1)


def _grid_sample(array: NDArray[np.generic], max_samples: int) -> NDArray[np.generic]:
    if array.size <= max_samples:
        return array
    step = int(np.ceil((array.size / max_samples) ** (1 / min(array.ndim, 2))))
    grid: tuple[Any, ...] = (..., *(slice(None, None, step),) * min(array.ndim, 2))
    return array[grid]
