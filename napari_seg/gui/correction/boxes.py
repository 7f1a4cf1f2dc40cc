"""Half-open boxes: where they overlap and what lies around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.deltas import Box


def empty_box(ndim: int) -> Box:
    """Return the first pixel: as little as a layer can have."""
    return (slice(0, 1),) * ndim


def box_at(start: NDArray[np.intp], shape: Sequence[int]) -> Box:
    """Return the box of an array that starts at a pixel."""
    return tuple(slice(int(a), int(a) + n) for a, n in zip(start, shape, strict=True))


def box_of(points: NDArray[np.intp]) -> Box:
    """Return the smallest box around points of shape (N, ndim)."""
    if not len(points):
        return (slice(0, 0),) * points.shape[1]
    low, high = points.min(axis=0), points.max(axis=0) + 1
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def around_all(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around boxes, of which one at least is not empty."""
    filled = [box for box in boxes if all(s.stop > s.start for s in box)]
    return tuple(
        slice(min(s.start for s in sides), max(s.stop for s in sides))
        for sides in zip(*filled, strict=True)
    )


def holds(outer: Box, inner: Box) -> bool:
    """Whether one box lies in another."""
    return all(
        a.start <= b.start and b.stop <= a.stop
        for a, b in zip(outer, inner, strict=True)
    )


def within(box: Box, outer: Box) -> Box:
    """Return a box in the coordinates of one around it."""
    return shifted(box, [-s.start for s in outer])


def shifted(box: Box, offset: Sequence[int] | NDArray[np.intp]) -> Box:
    """Return a box moved along every axis."""
    return tuple(
        slice(s.start + int(o), s.stop + int(o))
        for s, o in zip(box, offset, strict=True)
    )
