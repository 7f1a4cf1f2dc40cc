"""Overlap-tile plans: what to read, what to keep of it, where to write it.

U-Net (2015), figure 2: the network sees mirrored context around each tile, and of
neighbouring tiles only the part that saw enough context is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Geometry:
    """What a network demands of its input along each axis.

    Parameters
    ----------
    tile : int
        Legal input length.
    divisor : int
        Total stride; tiles are shifted by multiples of it only, because another
        pooling phase gives another result.
    margin : int
        Pixels that valid convolutions eat per side.
    overlap : int
        Further output pixels per side that are thrown away next to another tile,
        where zero padding would show.
    rim : int
        Mirrored pixels beyond the edges of the image that padded networks see, and
        that are thrown away.
    """

    tile: int
    divisor: int = 1
    margin: int = 0
    overlap: int = 0
    rim: int = 0

    @property
    def output(self) -> int:
        """Output length for an input of `tile`."""
        return self.tile - 2 * self.margin

    @property
    def step(self) -> int:
        """Largest legal shift between neighbouring tiles."""
        usable = self.output - 2 * self.overlap
        return max(self.divisor, usable // self.divisor * self.divisor)


@dataclass(frozen=True)
class Tile:
    """One forward pass.

    Parameters
    ----------
    read : tuple of slice
        Input window in image coordinates; may reach beyond the image, where it is
        mirrored.
    crop : tuple of slice
        Part of the network's output that is kept.
    write : tuple of slice
        Where that part belongs in the image. All writes together cover each pixel
        exactly once.
    """

    read: Slices
    crop: Slices
    write: Slices


@dataclass(frozen=True)
class _Span:
    read: slice
    crop: slice
    write: slice


def plan_tiles(shape: Sequence[int], geometry: Sequence[Geometry]) -> list[Tile]:
    """Plan the tiles of an image, in raster order.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the image.
    geometry : sequence of Geometry
        One for each spatial axis.

    Returns
    -------
    list of Tile
        All tiles read windows of the same shape.
    """
    spans = [_plan_axis(n, g) for n, g in zip(shape, geometry, strict=True)]
    tiles = []
    for index in np.ndindex(*(len(s) for s in spans)):
        parts = [s[i] for s, i in zip(spans, index, strict=True)]
        tiles.append(
            Tile(
                tuple(p.read for p in parts),
                tuple(p.crop for p in parts),
                tuple(p.write for p in parts),
            )
        )
    return tiles


def _plan_axis(size: int, geometry: Geometry) -> list[_Span]:
    """Cover 0..size; the tiles see it with its mirrored rim."""
    spans = []
    for span in _cover(size + 2 * geometry.rim, geometry):
        start = span.read.start - geometry.rim
        low = max(span.write.start - geometry.rim, 0)
        high = min(span.write.stop - geometry.rim, size)
        origin = start + geometry.margin
        spans.append(
            _Span(
                slice(start, start + geometry.tile),
                slice(low - origin, high - origin),
                slice(low, high),
            )
        )
    return spans


def _cover(size: int, geometry: Geometry) -> list[_Span]:
    """Cover 0..size with output windows of one length at multiples of the stride."""
    margin, output = geometry.margin, geometry.output
    if output >= size:
        starts = [0]
    else:
        # The first and the last tile keep their outer overlap: beyond it is nothing.
        last = -(-(size - output) // geometry.divisor) * geometry.divisor
        count = -(-last // geometry.step) + 1
        starts = [min(i * geometry.step, last) for i in range(count)]
        starts = _spread(starts, geometry)
    edges = [
        0,
        *(_seam(a, b, output) for a, b in pairwise(starts)),
    ]
    edges.append(size)
    return [
        _Span(
            slice(start - margin, start - margin + geometry.tile),
            slice(low - start, high - start),
            slice(low, high),
        )
        for start, (low, high) in zip(starts, pairwise(edges), strict=True)
    ]


def _spread(starts: list[int], geometry: Geometry) -> list[int]:
    """Even the shifts out, so that every seam gets its share of the spare overlap."""
    count, last, d = len(starts) - 1, starts[-1], geometry.divisor
    return [round(i * last / count / d) * d for i in range(count + 1)]


def _seam(start: int, following: int, output: int) -> int:
    """Middle of what two neighbouring output windows share."""
    return (following + start + output + 1) // 2


def choose_geometry(
    size: int,
    requested: int,
    *,
    divisor: int,
    margin: int,
    overlap: int,
    phase: int,
    smallest: int,
    rim: int = 0,
) -> Geometry:
    """Turn any requested tile length into a legal, economical one.

    Parameters
    ----------
    size : int
        Length of the image along this axis.
    requested : int
        Wanted input length of a tile without the rim; not exceeded unless the network
        needs more.
    divisor, margin, overlap : int
        See `Geometry`.
    phase : int
        Legal input lengths are ``phase`` modulo `divisor`.
    smallest : int
        Shortest legal input length.
    rim : int
        See `Geometry`.

    Returns
    -------
    Geometry
        With the shortest tile that needs no more tiles than the requested one.
    """

    def legal(length: int) -> int:
        length = max(length, smallest)
        return length + (phase - length) % divisor

    # Two strides of progress per tile, or an image would need thousands of tiles.
    floor = legal(2 * (margin + overlap) + 2 * divisor)
    wanted = max(requested, 1) + 2 * rim
    largest = legal(wanted)
    if largest > wanted:
        largest -= divisor
    largest = max(largest, floor)
    seen = size + 2 * rim
    whole = legal(seen + 2 * margin)
    if whole <= largest:
        return Geometry(whole, divisor, margin, overlap, rim)
    widest = Geometry(largest, divisor, margin, overlap, rim)
    count = len(_plan_axis(size, widest))
    even = -(-(seen - 2 * overlap) // count) + 2 * (overlap + margin)
    for tile in range(max(legal(even), floor), largest, divisor):
        candidate = Geometry(tile, divisor, margin, overlap, rim)
        if len(_plan_axis(size, candidate)) == count:
            return candidate
    return widest


def mirror_index(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Return the pixels of an axis for start..stop, mirrored beyond both ends.

    Parameters
    ----------
    start, stop : int
        Half-open range, may lie outside 0..size by any amount.
    size : int
        Length of the axis, at least 1.

    Returns
    -------
    ndarray of intp
        Indices in 0..size-1. The edge pixel is not repeated, as in the paper; a
        single pixel is.
    """
    index = np.arange(start, stop)
    if size == 1:
        return np.zeros(len(index), np.intp)
    period = 2 * (size - 1)
    index = index % period
    return np.where(index < size, index, period - index).astype(np.intp)
