"""The levels of an image that is stored at several resolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_seg.imaging.rescale import SNAP

__all__ = ["Levels", "choose_level", "renew_level"]


def choose_level(pixels: Sequence[float], wanted: float) -> int:
    """Return the coarsest level whose pixels are no larger than wanted.

    Parameters
    ----------
    pixels : sequence of float
        Width of a pixel of each level, the finest first, in any unit.
    wanted : float
        Width of the pixels that the model was trained on, in the same unit.

    Returns
    -------
    int
        Number of the level; 0 where all are too coarse. Pixels that are larger by less
        than `SNAP` count as equal: so little is not resampled either.

    Examples
    --------
    >>> choose_level([0.1, 0.2, 0.4, 0.8], 0.5)
    2
    """
    fits = [i for i, width in enumerate(pixels) if width <= wanted * (1 + SNAP)]
    return max(fits, default=0)


class Levels:
    """An image at several resolutions; as an array it is the finest of them.

    Parameters
    ----------
    arrays : sequence of array
        The finest first, with the same axes; NumPy, memory-mapped, dask or zarr.

    Attributes
    ----------
    arrays : tuple of array
    shape : tuple of int
        Of the finest.
    dtype : dtype
    ndim : int
    """

    def __init__(self, arrays: Sequence[Any]) -> None:
        self.arrays = tuple(arrays)
        finest = self.arrays[0]
        self.shape = tuple(int(n) for n in finest.shape)
        self.dtype = np.dtype(finest.dtype)
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> Any:
        return self.arrays[0][index]

    def cut(self, index: Sequence[slice]) -> Levels:
        """Return a part of every level.

        Parameters
        ----------
        index : sequence of slice
            With start and stop, in the finest. A level is left out where the part does
            not begin and end between its pixels.
        """
        parts = []
        for array in self.arrays:
            own = [
                _part(s, full, int(size))
                for s, full, size in zip(index, self.shape, array.shape, strict=True)
            ]
            if all(part is not None for part in own):
                parts.append(array[tuple(own)])
        return Levels(parts)


def _part(part: slice, full: int, size: int) -> slice | None:
    """Return where a part of an axis of the finest lies in a coarser level."""
    if (part.start, part.stop) == (0, full) or size == full:
        return slice(part.start * size // full, part.stop * size // full)
    step = _step(full, size)
    start, rest = divmod(part.start, step)
    if rest or (part.stop % step and part.stop != full):
        return None
    stop = size if part.stop == full else part.stop // step
    return slice(start, stop) if 0 <= start < stop <= size else None


def renew_level(finer: Any, coarser: Any, box: Sequence[slice]) -> tuple[slice, ...]:
    """Bring a coarser level of labels up to date after a change to a finer one.

    A pixel takes the id in the middle of the pixels that it stands for, as ome-zarr
    has it. Only the box is read and written.

    Parameters
    ----------
    finer, coarser : array of int
        With the same axes.
    box : tuple of slice
        What was changed in the finer level.

    Returns
    -------
    tuple of slice
        What was changed in the coarser level.
    """
    picked, place = [], []
    for part, full, size in zip(box, finer.shape, coarser.shape, strict=True):
        step = _step(int(full), int(size))
        middles = np.minimum(np.arange(size) * step + step // 2, full - 1)
        inside = np.flatnonzero((middles >= part.start) & (middles < part.stop))
        if not len(inside):
            return (slice(0, 0),) * len(box)
        picked.append(middles[inside])
        place.append(slice(int(inside[0]), int(inside[-1]) + 1))
    around = tuple(slice(int(m[0]), int(m[-1]) + 1) for m in picked)
    block = np.asarray(finer[around])
    coarser[tuple(place)] = block[np.ix_(*(m - m[0] for m in picked))]
    return tuple(place)


def _step(full: int, size: int) -> int:
    """Return how many pixels of an axis one of a coarser level stands for."""
    return full // size if full % size == 0 else 2 ** round(math.log2(full / size))
