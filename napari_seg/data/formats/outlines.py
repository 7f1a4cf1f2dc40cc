"""Outlines along the edges of pixels, from which the mask comes back exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask

Ring = NDArray[np.int64]
"""Corners (x, y) of a closed outline, shape (N, 2); the first is not repeated."""

_LARGEST_INDEX = 2**22
_FIRST_WAY = [(bits & -bits).bit_length() - 1 for bits in range(16)]


class Piece(NamedTuple):
    """An object of a plane, cut out."""

    object_id: int
    box: tuple[slice, slice]
    """Rows and columns it lies in."""
    mask: NDArray[np.bool_]
    """Of the shape of the box."""

    @property
    def offset(self) -> NDArray[np.int64]:
        """First column and row of the box."""
        return np.array([self.box[1].start, self.box[0].start])


class Rings(NamedTuple):
    """Outlines of one object, in pixels of the plane."""

    outer: list[Ring]
    """One for each part."""
    holes: list[Ring]


def pieces(labels: NDArray[np.integer]) -> Iterator[Piece]:
    """Yield the objects of a plane, ids ascending.

    Parameters
    ----------
    labels : ndarray of int, shape (rows, columns)
        Ids; 0 is background.
    """
    if not labels.size:
        return
    # the table of boxes is as long as the largest id, so large ids are made dense
    highest = int(labels.max())
    if highest <= _LARGEST_INDEX:
        ids, dense = np.arange(highest + 1), labels
    else:
        ids, inverse = np.unique(np.append(labels, 0), return_inverse=True)
        dense = inverse[:-1].reshape(labels.shape)
    for number, box in enumerate(ndimage.find_objects(dense), start=1):
        if box is not None:
            yield Piece(int(ids[number]), box, dense[box] == number)


def rings_of(piece: Piece) -> Rings:
    """Trace the outlines of an object along the corners of its pixels.

    Pixel (row, column) has the corners (column, row) to (column + 1, row + 1). Parts
    that touch at a corner only are separate. Outer outlines run clockwise on the
    screen, holes the other way.
    """
    ways = _ways(piece.mask)
    width = ways.shape[1]
    known, left = ways.tobytes(), bytearray(ways.tobytes())
    found = Rings([], [])
    for start in np.flatnonzero(ways).tolist():
        while left[start]:
            first = _FIRST_WAY[left[start]]
            places = np.array(_walk(known, left, start, first, width))
            ring = np.stack([places % width, places // width], axis=1) + piece.offset
            # the first corner is the topmost one: only holes go down from there
            (found.holes if first else found.outer).append(ring)
    return found


def _ways(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return, for each corner, on which of its edges to go on.

    Bits 0 to 3 are right, down, left, up; the object is to the right of each edge.
    """
    rows, columns = mask.shape
    padded = np.zeros((rows + 2, columns + 2), bool)
    padded[1:-1, 1:-1] = mask
    ways = np.zeros((rows + 1, columns + 1), np.uint8)
    ways[:-1, :-1] |= mask & ~padded[:-2, 1:-1]
    ways[:-1, 1:] |= (mask & ~padded[1:-1, 2:]).view(np.uint8) << 1
    ways[1:, 1:] |= (mask & ~padded[2:, 1:-1]).view(np.uint8) << 2
    ways[1:, :-1] |= (mask & ~padded[1:-1, :-2]).view(np.uint8) << 3
    return ways


def _walk(
    known: bytes, left: bytearray, start: int, first: int, width: int
) -> list[int]:
    """Go once around an outline; return the corners at which it turns.

    scikit-image's find_contours leads to the same corners in more than twice the time,
    and there are tens of thousands of objects in an export.
    """
    steps = (1, width, -1, -width)
    turns, place, way = [start], start, first
    while True:
        left[place] &= ~(1 << way)
        place += steps[way]
        # where two parts touch at a corner, turning right stays on the same part
        bits = known[place]
        after = (way + 1) & 3
        if not bits >> after & 1:
            after = way if bits >> way & 1 else (way - 1) & 3
        if place == start and after == first:
            return turns
        if after != way:
            turns.append(place)
            way = after


def joined(rings: Rings) -> Ring:
    """Join all outlines of an object into one.

    The bridges between them have no width and run between the pixels, so whoever
    fills the outline gets the mask with its parts and holes.
    """
    first, *rest = [*rings.outer, *rings.holes]
    points = [first, first[:1]]
    x, y = first[0]
    for ring in rest:
        way = np.array([[ring[0, 0], y]])
        points += [way, ring, ring[:1], way, np.array([[x, y]])]
    return np.concatenate(points if rest else [first])


def filled(
    rings: Iterable[NDArray[np.floating]], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return the mask of outlines: pixels whose centre is in an odd number of them.

    Parameters
    ----------
    rings : iterable of ndarray of float, shape (N, 2)
        Corners (x, y); what lies outside the plane is cut off.
    shape : (int, int)
        Rows and columns.
    """
    mask = np.zeros(shape, bool)
    for ring in rings:
        low = np.clip(np.floor(ring.min(axis=0)), 0, shape[::-1]).astype(int)
        high = np.clip(np.ceil(ring.max(axis=0)), low, shape[::-1]).astype(int)
        box = slice(low[1], high[1]), slice(low[0], high[0])
        if mask[box].size:
            centred = np.asarray(ring, float) - low - 0.5
            mask[box] ^= polygon2mask(mask[box].shape, centred[:, ::-1])
    return mask
