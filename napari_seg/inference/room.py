"""Room for the probabilities, or new labels, of a whole image."""

from __future__ import annotations

import math
import shutil
import tempfile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_SPILL_BYTES = 1 << 29


def make_room(
    shape: tuple[int, ...], dtype: DTypeLike = np.float32
) -> NDArray[Any] | None:
    """Return zeros in memory, on disk where that would be a lot, or None.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : dtype, optional

    Returns
    -------
    ndarray or None
        None if the disk has no room either. A file on disk has no name; it goes when
        the array does.
    """
    size = np.dtype(dtype).itemsize * math.prod(shape)
    if size <= _SPILL_BYTES:
        return np.zeros(shape, dtype)
    if size > shutil.disk_usage(tempfile.gettempdir()).free // 2:
        return None
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)
