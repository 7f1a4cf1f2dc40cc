"""Room for the probabilities of a whole image."""

from __future__ import annotations

import math
import shutil
import tempfile

import numpy as np
from numpy.typing import NDArray

_SPILL_BYTES = 1 << 29


def make_room(shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return zeros in memory, on disk where that would be a lot, or None.

    Parameters
    ----------
    shape : tuple of int
        Of the array.

    Returns
    -------
    ndarray of float32 or None
        None if the disk has no room either. A file on disk has no name; it goes when
        the array does.
    """
    size = 4 * math.prod(shape)
    if size <= _SPILL_BYTES:
        return np.zeros(shape, np.float32)
    if size > shutil.disk_usage(tempfile.gettempdir()).free // 2:
        return None
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.float32, "w+", shape=shape)
