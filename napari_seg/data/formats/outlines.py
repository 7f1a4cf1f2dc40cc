"""Outlines along the edges of pixels, from which the mask comes back exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask
from skimage.measure import find_contours

Ring = NDArray[np.int64]
"""Corners (x, y) of a closed outline, shape (N, 2); the first is not repeated."""

_LARGEST_INDEX = 2**22


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
    that touch at a corner only are separate.
    """
    found = Rings([], [])
    padded = np.pad(piece.mask, 1).astype(np.float64)
    for contour in find_contours(padded, 0.5):
        # A contour goes from edge to edge of the pixels; each of its steps crosses
        # one square between four pixel centres, and the middle of that is a corner.
        corners = np.floor((contour[:-1] + contour[1:]) / 2).astype(np.int64)
        ring = _without_straight(corners[:, ::-1]) + piece.offset
        (found.outer if _turn(ring) > 0 else found.holes).append(ring)
    return found


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


def _without_straight(corners: Ring) -> Ring:
    """Leave out corners at which an outline does not turn."""
    before = corners - np.roll(corners, 1, axis=0)
    after = np.roll(corners, -1, axis=0) - corners
    return corners[(before != after).any(axis=1)]


def _turn(ring: Ring) -> int:
    """Twice the signed area: its sign is the direction."""
    x, y = ring.T
    return int((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
