"""Get memory that is about to be written, before the one who writes has to wait.

`numpy.zeros` takes no memory until it is written. On Linux NumPy asks for huge pages,
so the first pixel written in each two megabytes has all of them cleared: an object
through forty planes of fresh labels costs 80 to 600 ms, on whatever thread writes it.

The pages are asked for by ``madvise(MADV_POPULATE_WRITE)``. It brings in pages as a
write would, but writes nothing, so any thread may do it while another one edits the
same array. Writing the values back that were just read would be a race instead, and
reading alone would only map the shared page of zeros.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Generator, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.slabs import Box, box_shape
from napari_seg.types import Progress

_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE of Linux 5.14 and later; `mmap` does not know it."""
_HUGE_BYTES = 2 * 2**20
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def is_populated_late(labels: Any) -> bool:
    """Whether memory of an array may be missing that is slow to get.

    Only of arrays that NumPy allocated: pages of a file that is mapped into memory
    would be written back to it, and small pages are quick to get.
    """
    if not isinstance(labels, np.ndarray) or labels.nbytes < _HUGE_BYTES:
        return False
    owner: Any = labels
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
        if owner.base is None:
            return bool(labels.flags.writeable) and _has_huge_pages()
        owner = owner.base
    return False


def populate(labels: Any, boxes: Iterable[Box]) -> Generator[Progress, None, None]:
    """Get the memory of boxes of an array, where that is worth while.

    Nothing is changed, whoever else works on the array meanwhile.

    Parameters
    ----------
    labels : array
        Of any kind; of most there is nothing to get.
    boxes : iterable of tuple of slice
        Half-open, with bounds.
    """
    if not is_populated_late(labels):
        return
    ranges = [
        r for box in boxes if 0 not in box_shape(box) for r in _ranges(labels[box])
    ]
    for done, (low, high) in enumerate(ranges):
        yield Progress("memory", done, len(ranges))
        start = low - low % mmap.PAGESIZE
        # Returns an error on older systems: then the writer waits, as it always did.
        if _madvise()(start, high - start, _POPULATE_WRITE):
            return


def _ranges(piece: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Give the addresses of a piece of an array, without long gaps."""
    strides = np.where(np.array(piece.shape) > 1, np.abs(piece.strides), 0)
    if strides.max(initial=0) < _HUGE_BYTES:
        yield _bounds(piece)
        return
    for part in np.moveaxis(piece, int(strides.argmax()), 0):
        yield from _ranges(part)


def _bounds(piece: NDArray[Any]) -> tuple[int, int]:
    """Return the addresses where an array begins and ends, as any strides have it."""
    first = int(piece.__array_interface__["data"][0])
    ways = [(n - 1) * s for n, s in zip(piece.shape, piece.strides, strict=True)]
    low = first + sum(way for way in ways if way < 0)
    return low, first + sum(way for way in ways if way > 0) + piece.itemsize


@cache
def _has_huge_pages() -> bool:
    try:
        return sys.platform == "linux" and "[never]" not in _SETTING.read_text()
    except OSError:
        return False


@cache
def _madvise() -> Any:
    """Return the system's call; Python's lock is released while it runs."""
    call = ctypes.CDLL(None).madvise
    call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    call.restype = ctypes.c_int
    return call
