"""From the way of the mouse to the pixels under the brush. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_PIECE_PX = 48.0
"""Long segments are cut up, because the box around a diagonal is mostly empty."""


class Trace:
    """Collects the positions of a stroke in one plane of a labels layer.

    Parameters
    ----------
    shape : tuple of int
        Of the labels.
    displayed : sequence of int, length 2
        Axes of the labels on the canvas, rows first; positions are taken on the
        plane of the first one.
    spacing : sequence of float, length 2
        Size of a pixel along them, in units of the shorter side.
    radius_px : float
        Of the brush, in units of `spacing`.
    is_rectangle : bool
        The border between first and last position instead of a line through all.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        displayed: Sequence[int],
        spacing: Sequence[float],
        radius_px: float,
        is_rectangle: bool = False,
    ) -> None:
        self.shape = shape
        self._displayed = list(displayed)
        self._spacing = tuple(spacing)
        self._radius_px = radius_px
        self._is_rectangle = is_rectangle
        self._size = np.array([shape[axis] for axis in displayed])
        self._path: list[NDArray[np.float64]] = []
        # Row * width + column, sorted: a set that NumPy can join quickly.
        self._covered = np.zeros(0, np.intp)

    def add(self, position: Sequence[float] | NDArray[np.float64]) -> None:
        """Go on to a position, in pixels of the labels."""
        point = np.asarray(position, dtype=float)
        if self._path and np.array_equal(point, self._path[-1]):
            return
        first = self._path[0] if self._path else point
        before = self._path[-1] if self._path else point
        a, b, c = (p[self._displayed] for p in (first, before, point))
        if self._is_rectangle:
            self._path = [first, point] if self._path else [point]
            self._covered = self._border(a, c)
            return
        self._path.append(point)
        new = self._inside(thick_line(b, c, self._radius_px, self._spacing))
        self._covered = np.union1d(self._covered, new)

    @property
    def path(self) -> NDArray[np.float64]:
        """Positions so far, shape (M, ndim); of a rectangle, its two corners."""
        return np.array(self._path)

    def points(self) -> NDArray[np.intp]:
        """Return the pixels of the labels covered so far, shape (N, ndim)."""
        hidden = np.rint(self._path[0]).astype(np.intp)
        points = np.repeat(hidden[None], len(self._covered), axis=0)
        rows, columns = np.divmod(self._covered, self._size[1])
        points[:, self._displayed] = np.stack([rows, columns], axis=1)
        inside = ((points >= 0) & (points < self.shape)).all(axis=1)
        return points[inside]

    def _inside(self, pixels: NDArray[np.intp]) -> NDArray[np.intp]:
        inside = ((pixels >= 0) & (pixels < self._size)).all(axis=1)
        kept = pixels[inside]
        return np.unique(kept[:, 0] * self._size[1] + kept[:, 1])

    def _border(
        self, a: NDArray[np.float64], c: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        last = self._size - 1
        if (np.maximum(a, c) < -0.5).any() or (np.minimum(a, c) > last + 0.5).any():
            return np.zeros(0, np.intp)
        corners = np.clip([a, c], 0, last)
        return self._inside(rectangle_border(*corners))


def thick_line(
    start: Sequence[float] | NDArray[np.float64],
    stop: Sequence[float] | NDArray[np.float64],
    radius_px: float,
    spacing: Sequence[float] = (1.0, 1.0),
) -> NDArray[np.intp]:
    """Return the pixels that a round brush covers between two positions.

    Parameters
    ----------
    start, stop : sequence of float, length 2
        Row and column, in pixels; whole numbers are pixel centres.
    radius_px : float
        In units of `spacing`. The pixels along the line are always covered.
    spacing : sequence of float, length 2
        Height and width of a pixel, in units of the shorter one: the brush is
        round on the screen.

    Returns
    -------
    ndarray of int, shape (N, 2)
        Not clipped to any image; some pixels may be there twice.
    """
    sizes = np.asarray(spacing, dtype=float)
    a, b = np.asarray(start, float) * sizes, np.asarray(stop, float) * sizes
    # Half the longest side of a pixel: a thinner line would have gaps.
    radius = max(radius_px, 0.5 * float(sizes.max()))
    ends = np.rint(np.array([start, stop], float)).astype(np.intp)
    pieces = [_capsule(p, q, radius, sizes) for p, q in _pieces(a, b)]
    return np.concatenate([*pieces, ends])


def rectangle_border(
    corner: Sequence[float] | NDArray[np.float64],
    opposite: Sequence[float] | NDArray[np.float64],
) -> NDArray[np.intp]:
    """Return the pixels on the border of a rectangle, shape (N, 2)."""
    corners = np.rint(np.array([corner, opposite], float)).astype(np.intp)
    (y0, x0), (y1, x1) = corners.min(axis=0), corners.max(axis=0)
    rows, columns = np.arange(y0, y1 + 1), np.arange(x0, x1 + 1)
    sides = [
        np.stack(np.broadcast_arrays(y, x), axis=1)
        for y, x in ((y0, columns), (y1, columns), (rows, x0), (rows, x1))
    ]
    return np.unique(np.concatenate(sides), axis=0)


def _pieces(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    count = max(1, int(np.ceil(np.linalg.norm(b - a) / _PIECE_PX)))
    stops = a + np.linspace(0.0, 1.0, count + 1)[:, None] * (b - a)
    yield from pairwise(stops)


def _capsule(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    radius: float,
    sizes: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Return the pixels whose centres are within `radius` of the segment a-b."""
    low = np.floor((np.minimum(a, b) - radius) / sizes).astype(np.intp)
    high = np.ceil((np.maximum(a, b) + radius) / sizes).astype(np.intp)
    rows = np.arange(low[0], high[0] + 1) * sizes[0] - a[0]
    columns = np.arange(low[1], high[1] + 1) * sizes[1] - a[1]
    way = b - a
    length2 = float(way @ way)
    along = rows[:, None] * way[0] + columns[None, :] * way[1]
    share = np.clip(along / length2, 0.0, 1.0) if length2 > 0 else np.zeros_like(along)
    distance2 = (rows[:, None] - share * way[0]) ** 2 + (
        columns[None, :] - share * way[1]
    ) ** 2
    near = np.argwhere(distance2 <= radius * radius + 1e-9)
    return np.asarray(near + low, np.intp)
