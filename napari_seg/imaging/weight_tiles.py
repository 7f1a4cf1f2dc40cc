"""The tiles that the weights of a large labels array are computed in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.slabs import box_shape

if TYPE_CHECKING:
    from napari_seg.imaging.slabs import Box

Frame = tuple[int, ...]
"""Place of a plane or volume along the axes that it has not."""

_SIDES_PX = {2: (512, 512), 3: (32, 256, 256)}
"""Tiles take some 30 ms in a plane and seconds in a volume."""

FRAME_STEP = 1e6
"""A step to another plane is farther than any way within one."""

MOST_COUNTED = 512
"""The classes of larger frames are counted in so many of their tiles, or a few more."""


class Tiles:
    """A labels array in tiles, each within one plane or volume.

    Parameters
    ----------
    shape : sequence of int
        Of the labels.
    spatial : sequence of int
        Axes along which distances are measured, two or three. Along the others (time,
        channels, planes of a stack) each index is a frame of its own.
    """

    def __init__(self, shape: Sequence[int], spatial: Sequence[int]) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.spatial = tuple(spatial)
        self.others = tuple(a for a in range(len(self.shape)) if a not in self.spatial)
        sides = dict(zip(self.spatial, _SIDES_PX[len(self.spatial)], strict=True))
        self._edges = [
            _edges(n, sides.get(axis, 1)) for axis, n in enumerate(self.shape)
        ]
        self._grid = tuple(len(edges) - 1 for edges in self._edges)
        self.boxes = _Boxes(self._edges, self._grid)

    def __len__(self) -> int:
        return len(self.boxes)

    def frame(self, box: Box) -> Frame:
        """Return the frame a box is in."""
        return tuple(int(box[a].start) for a in self.others)

    def of_frame(self, frame: Frame) -> list[int]:
        """Return the numbers of a frame's tiles."""
        place = dict(zip(self.others, frame, strict=True))
        return self._numbers(
            [
                range(place[axis], place[axis] + 1) if axis in place else range(count)
                for axis, count in enumerate(self._grid)
            ]
        )

    def counted(self, frame: Frame) -> list[int]:
        """Return the tiles in which the classes of a frame are counted.

        Of a frame of very many these are some hundred, spread evenly.
        """
        tiles = self.of_frame(frame)
        return tiles[:: max(1, len(tiles) // MOST_COUNTED)]

    def size_of(self, tiles: Sequence[int]) -> int:
        """Return how many pixels some tiles have."""
        return sum(math.prod(box_shape(self.boxes[tile])) for tile in tiles)

    def touching(self, box: Box) -> list[int]:
        """Return the numbers of the tiles that share pixels with a box."""
        return self._numbers(
            [
                range(
                    max(int(np.searchsorted(edges, s.start, "right")) - 1, 0),
                    min(int(np.searchsorted(edges, s.stop, "left")), count),
                )
                for edges, s, count in zip(self._edges, box, self._grid, strict=True)
            ]
        )

    def distances(self, box: Box) -> NDArray[np.float64]:
        """Return how far each tile is from a box; those in its frames come first."""
        total = np.zeros(self._grid)
        for axis, (edges, part) in enumerate(zip(self._edges, box, strict=True)):
            low, high = edges[:-1].astype(float), edges[1:]
            ways = np.maximum(
                np.maximum(low - (part.stop - 1), part.start - high + 1), 0
            )
            if axis in self.others:
                ways *= FRAME_STEP
            else:
                # Among those that are seen, the middle first.
                middle = (low + high - part.start - part.stop) / 2
                ways += 1e-6 * np.abs(middle)
            total += ways.reshape([-1 if a == axis else 1 for a in range(total.ndim)])
        return total.ravel()

    def _numbers(self, ranges: Sequence[range]) -> list[int]:
        places = np.meshgrid(*ranges, indexing="ij")
        flat = tuple(np.asarray(p, np.intp).ravel() for p in places)
        return [int(i) for i in np.ravel_multi_index(flat, self._grid)]

    def frames_in(self, box: Box) -> Iterator[Box]:
        """Cut a box into one for each frame."""
        ranges = [
            [slice(i, i + 1) for i in range(part.start, part.stop)]
            if axis in self.others
            else [part]
            for axis, part in enumerate(box)
        ]
        yield from (tuple(parts) for parts in product(*ranges))

    def grown(self, box: Box, margin: Sequence[int]) -> Box:
        """Return a box with a margin along the spatial axes, within the array."""
        wide = dict(zip(self.spatial, margin, strict=True))
        return tuple(
            slice(
                max(0, part.start - wide.get(axis, 0)),
                min(self.shape[axis], part.stop + wide.get(axis, 0)),
            )
            for axis, part in enumerate(box)
        )


class _Boxes(Sequence["Box"]):
    """The boxes of all tiles, each made when it is asked for: there may be 100,000."""

    def __init__(self, edges: list[NDArray[np.intp]], grid: tuple[int, ...]) -> None:
        self._edges = edges
        self._grid = grid

    def __len__(self) -> int:
        return math.prod(self._grid)

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(number)
        place = np.unravel_index(number, self._grid)
        return tuple(
            slice(int(edges[i]), int(edges[i + 1]))
            for edges, i in zip(self._edges, place, strict=True)
        )


def _edges(length: int, side: int) -> NDArray[np.intp]:
    """Cut an axis into even parts of about `side`."""
    count = max(1, round(length / side)) if length else 0
    return np.array([length * i // max(count, 1) for i in range(count + 1)], np.intp)
