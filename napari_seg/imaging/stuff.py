"""Probabilities of classes beside the objects, parted from those of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

OBJECT = "object"
"""Name of the class that all objects have together."""


def part_stuff(
    probabilities: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Part the last classes off; to the objects they are background.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (K, Y, X)
        Adding up to 1.
    count : int
        How many of the classes make no objects.

    Returns
    -------
    objects : ndarray of float32, shape (K - count, Y, X)
        Adding up to 1.
    stuff : ndarray of float32, shape (count, Y, X)
    """
    if not count:
        return probabilities, probabilities[:0]
    objects, stuff = probabilities[:-count].copy(), probabilities[-count:]
    objects[0] += stuff.sum(axis=0)
    return objects, stuff


def most_likely_class(
    objects: NDArray[np.float32], stuff: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Return the class of each pixel: 0 background, 1 object, 2... stuff.

    Parameters
    ----------
    objects, stuff : ndarray of float32, shapes (K, Y, X) and (count, Y, X)
        As `part_stuff` returns them, or refined since.
    """
    background = objects[0] - stuff.sum(axis=0)
    stacked = np.concatenate([[background, 1 - objects[0]], stuff])
    return stacked.argmax(axis=0).astype(np.uint8)
